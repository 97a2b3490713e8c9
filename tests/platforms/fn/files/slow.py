"""Takes its time to load: as long as SLOW says."""

import os
import threading
import time

time.sleep(float(os.environ["SLOW"]))
MAIN = threading.main_thread() is threading.current_thread()


def handler(ctx, data=None):
    return f"main thread: {MAIN and threading.main_thread() is threading.current_thread()}"
