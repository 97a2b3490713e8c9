"""One function, four homes; each loads only itself."""

import subprocess
import sys

from gpfn.function.function import Function


def test_each_home_has_the_function_and_is_made_once() -> None:
    function = Function(lambda payload: payload, takes="payload")
    for home in ("fn", "openwhisk", "asgi"):
        adapter = getattr(function, home)
        assert adapter.function is function
        assert getattr(function, home) is adapter


def test_one_home_does_not_load_another() -> None:
    code = """if True:
        import sys
        from gpfn import Function
        function = Function(lambda payload: payload, takes="payload")
        assert not [name for name in sys.modules if name.startswith("gpfn.platforms.")]
        function.fn
        assert "gpfn.platforms.fn.adapter" in sys.modules
        assert not [name for name in sys.modules if name.startswith(
            ("gpfn.platforms.http", "gpfn.platforms.openwhisk"))]
    """
    subprocess.run([sys.executable, "-c", code], check=True)
