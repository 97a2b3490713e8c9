"""Wrong on purpose: takes a second /init, and answers every error with 500."""

from action_server import ActionServer


class Forgetful(ActionServer):
    """Knows one status for everything."""

    def refuse_second_init(self) -> None:
        """Take it all the same."""

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        status, document = super().answer(path, body)
        if isinstance(document, dict) and "error" in document:
            status = 500
        return status, document


if __name__ == "__main__":
    Forgetful.serve()
