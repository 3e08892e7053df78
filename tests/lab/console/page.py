"""A person at the page of the console, as a headless Chromium: page.py URL VERSION

Prints a line of JSON when the page is open and a note of its own is shown, and another one when the
page, which is never loaded again, shows VERSION.
"""

import json
import sys

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

LIMIT = 300  # seconds
NOTE = "written in the page"


def text(driver: webdriver.Chrome, id: str) -> str:
    return " ".join(one.text for one in driver.find_elements(By.ID, id))


def tell(driver: webdriver.Chrome) -> None:
    names = ("state", "version", "installer", "notes")
    print(json.dumps({name: text(driver, name) for name in names}), flush=True)


def main(url: str, version: str) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{word}")
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    with webdriver.Chrome(options=options, service=service) as driver:
        wait = WebDriverWait(driver, LIMIT)
        driver.get(url)
        wait.until(lambda it: text(it, "state") == "connected" and text(it, "version"))
        driver.find_element(By.TAG_NAME, "input").send_keys(NOTE)
        driver.find_element(By.TAG_NAME, "button").click()
        wait.until(lambda it: NOTE in text(it, "notes"))
        tell(driver)
        wait.until(lambda it: text(it, "version") == version)
        wait.until(lambda it: text(it, "state") == "connected")
        tell(driver)


if __name__ == "__main__":
    main(*sys.argv[1:])
