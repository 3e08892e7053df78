"""Addresses of a lab: free ones, the same ones again, and a way around busy ports."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.lab.addresses import MOST_HOSTS, PORTS, Addresses, choose, is_free
from uplift.spec.errors import UpliftError


def everything_free(_address: str, _port: int) -> bool:
    return True


@given(lab=st.text("abc123-", min_size=1), taken=st.sets(st.integers(2, 254), max_size=200))
def test_a_block_that_another_lab_has_is_never_chosen(lab: str, taken: set[int]) -> None:
    found = choose(lab, taken, everything_free)
    assert found.block not in taken
    assert 2 <= found.block <= 254
    assert found.ports == {port: port for port in PORTS}


def test_the_same_lab_gets_the_same_block_as_long_as_it_is_free() -> None:
    first = choose("here", set(), everything_free)
    assert choose("here", set(), everything_free) == first
    assert choose("here", {first.block}, everything_free).block != first.block


def test_no_block_left_is_an_error_and_no_endless_search() -> None:
    with pytest.raises(UpliftError, match=r"no free block"):
        choose("here", set(range(2, 255)), everything_free)


def test_a_port_that_the_machine_uses_on_all_addresses_gets_another_number() -> None:
    found = choose("here", set(), lambda _address, port: port not in (22, 80))
    assert (found.ports[22], found.ports[80], found.ports[443]) == (2222, 20080, 443)


def test_a_block_in_which_one_address_is_busy_is_passed_over() -> None:
    first = choose("here", set(), everything_free)
    busy = first.of("lab-1")
    found = choose("here", set(), lambda address, _port: address != busy)
    assert found.block != first.block


@given(hosts=st.sets(st.integers(1, MOST_HOSTS)))
def test_every_host_has_an_address_of_its_own(hosts: set[int]) -> None:
    at = Addresses(block=7, ports={})
    parts = [f"lab-{number}" for number in hosts] + ["lab-bookworm", "registry"]
    found = {at.of(part) for part in parts}
    assert len(found) == len(parts)
    assert all(socket.inet_aton(address)[:3] == bytes((127, 0, 7)) for address in found)


def test_a_port_is_taken_when_somebody_listens_there_or_on_all_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as all_:
        assert not is_free("127.0.0.1", one.getsockname()[1])
        assert is_free("127.0.99.1", one.getsockname()[1])
        assert not is_free("127.0.99.1", all_.getsockname()[1])


def test_a_port_is_free_again_although_old_connections_are_still_closing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = server.accept()
        connection.close()  # the server's side closes first and keeps the address for a minute
        client.close()
    assert is_free("127.0.0.1", port)
