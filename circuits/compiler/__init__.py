"""From a float ONNX file to a canonical model. The only part of circuits that reads ONNX."""

from circuits.compiler.calibration import load_calibration
from circuits.compiler.compile import compile_model
from circuits.compiler.report import CompileReport

__all__ = ["CompileReport", "compile_model", "load_calibration"]
