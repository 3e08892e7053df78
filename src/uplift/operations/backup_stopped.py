"""The part of the backup program that copies the data of a stopped server.

The list of files is made while the server is stopped. What comes out of the archive later is held
against it: a file that the copy, the archive or a disk lost is missed.
"""

STOPPED = r"""
# The seconds count from the order to stop until the server serves again.
take_stopped() {
  hold_container
  began=$(date +%s)
  halt || { resume; die "container $container cannot be stopped"; }
  listing "$src" >"$new/listed"
  cp -a --reflink=auto "$src/." "$1/" 2>"$new/copy"
  copied=$?
  resume || die "container $container does not start again: docker start $container"
  waiting_for "$container" ||
    die "$container does not serve again after its data was copied: $(why)"
  stopped=$(($(date +%s) - began))
  exec 8>&-
  [ "$copied" = 0 ] || die "the data cannot be copied: $(tail -n 3 "$new/copy" | tr '\n' ' ')"
}
# Every file with its kind, rights, owner, time in seconds and size; of folders the size says
# nothing, and sockets are no data.
listing() {
  find "$1" ! -type s \( -type d -printf '%P d %m %U:%G %Ts\n' -o \
    -printf '%P %y %m %U:%G %Ts %s\n' \) | sort
}
"""
