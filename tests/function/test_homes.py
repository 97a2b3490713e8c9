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


def test_naming_all_homes_loads_next_to_nothing() -> None:
    """Every func.py does, and on Fn the first call waits for it."""
    code = """if True:
        import sys
        from gpfn import Function
        function = Function(lambda payload: payload, takes="payload")
        function.fn
        before = set(sys.modules)
        function.openwhisk, function.asgi
        print(*sorted(set(sys.modules) - before))
    """
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == [
        "gpfn.platforms.http",
        "gpfn.platforms.http.adapter",
        "gpfn.platforms.openwhisk",
        "gpfn.platforms.openwhisk.adapter",
    ]
