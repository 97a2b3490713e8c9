"""What a conversion has shown, as a table and as JSON."""

import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from gpfn.cli.progress import size_text
from gpfn.cli.table import print_table

if TYPE_CHECKING:
    from gpfn.convert.comparing import Difference
    from gpfn.convert.converting import Conversion, Report

__all__ = ["print_report", "report_document"]

_PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}
_RUNTIMES = {"tflite": "LiteRT", "onnx": "ONNX Runtime", "pb": "TensorFlow", "saved": "TensorFlow"}


def print_report(order: "Conversion", report: "Report") -> None:
    """Print both sides beside each other, and how far they are apart."""
    speed, written = report.speed, not report.refusal
    rows = [
        ("run by", str(report.facts.get("framework", "")), _runtime(order)),
        ("size", size_text(report.source_bytes) if report.source_bytes else "-",
         size_text(report.target_bytes)),
        (f"rows/s, {speed.rows} at once", f"{speed.source:,.0f}", f"{speed.target:,.0f}"),
        ("rows at once", "", "any number" if report.open_batch else f"{speed.rows} alone"),
    ]  # fmt: skip
    header = ("", order.source.shown, order.output)
    print_table(rows, header)
    print()
    outputs = [(each.name, *_found(each)) for each in report.found.outputs]
    print_table(outputs, ("output", "values", "compared by"), right=(1,))
    if written:
        took = f"{report.seconds:.1f} s"
        beside = f", and {report.described}" if report.described else ""
        print(f"wrote {order.output} in {took}{beside}")


def _found(output: "Difference") -> tuple[str, str]:
    count = f"{output.values:,}"
    if output.wrong:
        return count, output.wrong
    if output.exact:
        equal = output.values - output.unequal
        return count, f"{equal:,} of {output.values:,} equal"
    return count, f"largest difference {output.largest:.2g}"


def _runtime(order: "Conversion") -> str:
    name = order.target.name
    title = _RUNTIMES[name]
    return f"{title} {version(_PACKAGES[name])}" if name in _PACKAGES else title


def report_document(order: "Conversion", report: "Report") -> dict[str, Any]:
    """Return the report in JSON's types; what is not finite is null."""
    found, speed = report.found, report.speed
    return {
        "source": {
            "model": order.source.shown,
            "kind": order.source.name,
            "framework": report.facts.get("framework"),
            "versions": report.facts.get("versions"),
            "bytes": report.source_bytes,
            "rows_per_second": round(speed.source, 1),
        },
        "target": {
            "model": order.output,
            "format": order.target.name,
            "runtime": _runtime(order),
            "bytes": report.target_bytes,
            "rows_per_second": round(speed.target, 1),
            "open_batch": report.open_batch,
        },
        "rows_at_once": speed.rows,
        "largest_difference": _finite(found.largest),
        "tolerance": order.tolerance,
        "labels_equal": found.equal_share,
        "outputs": [{**each._asdict(), "largest": _finite(each.largest)} for each in found.outputs],
        "written": not report.refusal,
        "refusal": report.refusal or None,
        "description": report.described or None,
        "seconds": round(report.seconds, 2),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
