"""Real inputs for calibration and for measuring accuracy: read from a file, checked against the model's input."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from circuits.errors import CalibrationError
from circuits.tensors import Reals

MAX_FILE_BYTES = 1 << 30
PREFERRED_ARRAYS = ("x_calibration", "calibration", "x")


def load_calibration(path: str | os.PathLike[str]) -> Reals:
    """Samples of a .npz (array x_calibration, calibration or x, or the only one), .npy or .csv file (a header line is
    skipped).

    Returns float64 with samples along the first axis. Raises CalibrationError; OSError passes through.
    """
    file = Path(path)
    if file.stat().st_size > MAX_FILE_BYTES:
        raise CalibrationError(f"{file.name} is too large", f"at most {MAX_FILE_BYTES} bytes", file.stat().st_size)
    readers = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv}
    if file.suffix.lower() not in readers:
        raise CalibrationError(f"{file.name}: kind of file", ".npz, .npy or .csv", file.suffix or "no suffix")
    try:
        array = readers[file.suffix.lower()](file)
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise CalibrationError(f"{file.name} cannot be read ({error})") from error
    return read_real(array, file.name)


def _read_npz(file: Path) -> NDArray[np.generic]:
    with file.open("rb") as stream:  # numpy leaves a file it opened itself open when it is no archive
        archive = np.load(stream, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("not an archive of arrays")
        names = [name for name in PREFERRED_ARRAYS if name in archive.files] or archive.files
        if len(names) != 1 and names[0] not in PREFERRED_ARRAYS:
            raise ValueError(f"holds {archive.files}, none of them named one of {PREFERRED_ARRAYS}")
        return np.asarray(archive[names[0]])


def _read_npy(file: Path) -> NDArray[np.generic]:
    return np.asarray(np.load(file, allow_pickle=False))


def _read_csv(file: Path) -> NDArray[np.generic]:
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    numeric = lines[1:] if lines and not _is_numeric(lines[0]) else lines
    return np.loadtxt(numeric, delimiter=",", ndmin=2) if numeric else np.empty((0, 0))


def _is_numeric(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return False
    return True


def read_real(values: object, what: str) -> Reals:
    """Finite numbers as float64, samples along the first axis, at least one. Raises CalibrationError."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise CalibrationError(what, "an array of numbers", f"dtype {array.dtype}")
    if array.ndim < 1 or not array.size:
        raise CalibrationError(what, "at least one sample", f"shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise CalibrationError(what, "finite numbers", "NaN or infinity")
    return array.astype(np.float64)


def read_samples(values: object, shape: tuple[int, ...], what: str) -> Reals:
    """(n, size) float64 of samples given as (n, *shape), or as (n, size). Raises CalibrationError."""
    array = read_real(values, what)
    size = int(np.prod(shape))
    if array.shape[1:] not in (shape, (size,)):
        raise CalibrationError(what, f"shape [samples, {', '.join(map(str, shape))}]", list(array.shape))
    return array.reshape(len(array), size)
