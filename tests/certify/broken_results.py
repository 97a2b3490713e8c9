"""Wrong on purpose: no sentinels, and a result that JSON cannot hold ends the process."""

import json
import os

from action_server import ActionServer


class Careless(ActionServer):
    """Writes JSON outside of any try, and forgets the log."""

    def end_activation(self) -> None:
        """Forget it."""

    def check(self, result: object) -> object:
        try:
            json.dumps(result, allow_nan=False)
        except (TypeError, ValueError):
            os._exit(1)
        return result


if __name__ == "__main__":
    Careless.serve()
