"""From a float ONNX file to a canonical model. The only part of circuits that reads ONNX."""

from circuits.compiler.calibration import load_calibration
from circuits.compiler.compile import Compilation, compile_model, compile_source
from circuits.compiler.report import CompileReport

__all__ = ["Compilation", "CompileReport", "compile_model", "compile_source", "load_calibration"]
