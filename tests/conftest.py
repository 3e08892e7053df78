"""What all tests stand on."""

import signal

# A shell that starts the tests in its background has SIGINT ignored, and children would inherit
# that: those which are to be interrupted would not hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
