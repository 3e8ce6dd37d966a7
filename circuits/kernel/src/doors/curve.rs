//! Points and commitments.

use crate::commitments;
use crate::edge::{self, check_length, value_error, Object, Operand};
use crate::field::{limbs, Entries, Limbs};
use crate::points::{compress, decode, decompress, encode, is_in_subgroup, Affine};
use crate::tasks;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

const GRAIN: usize = 16; // points that are worth a task, decompressed

#[pyclass(frozen, module = "affidavit_kernel")]
pub struct Powers(commitments::Powers);

#[pymethods]
impl Powers {
    #[new]
    fn new(py: Python<'_>, points: Vec<Bound<'_, PyBytes>>) -> PyResult<Self> {
        let points = decode_all(py, &points, decode)?;
        let powers = py.detach(|| commitments::Powers::new(&points));
        powers.map(Self).ok_or_else(|| value_error(format!("points: {} are too many", points.len())))
    }

    fn commit<'py>(&self, py: Python<'py>, values: &Object<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let operand = self.read(values)?;
        let entries = operand.entries();
        let point = py.detach(|| self.0.commit(entries, rayon::current_num_threads()));
        Ok(PyBytes::new(py, &point))
    }

    fn commit_many<'py>(&self, py: Python<'py>, batch: Vec<Object<'py>>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let operands = batch.iter().map(|values| self.read(values)).collect::<PyResult<Vec<_>>>()?;
        let entries: Vec<Entries> = operands.iter().map(Operand::entries).collect();
        let points = py.detach(|| self.0.commit_many(&entries));
        Ok(points.iter().map(|point| PyBytes::new(py, point)).collect())
    }
}

impl Powers {
    fn read<'py>(&self, values: &Object<'py>) -> PyResult<Operand<'py>> {
        let operand = Operand::read(values, "values")?;
        let (length, count) = (operand.entries().len(), self.0.count());
        if length > count {
            return Err(value_error(format!("values: {length} entries, at most {count}")));
        }
        Ok(operand)
    }
}

#[pyfunction]
pub fn combine<'py>(py: Python<'py>, points: Vec<Bound<'py, PyBytes>>, scalars: Vec<Object<'py>>) -> PyResult<Bound<'py, PyBytes>> {
    check_length("scalars", scalars.len(), points.len())?;
    let points = decode_all(py, &points, decode)?;
    let scalars: Vec<Limbs> = edge::scalars(&scalars)?.into_iter().map(limbs).collect();
    Ok(PyBytes::new(py, &py.detach(|| commitments::combine(&points, &scalars))))
}

#[pyfunction]
pub fn decode_point(data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let point = decode(data.as_bytes()).map_err(value_error)?;
    if is_in_subgroup(&point) {
        return Ok(());
    }
    Err(value_error("a point outside the prime-order subgroup"))
}

#[pyfunction]
pub fn compress_point<'py>(py: Python<'py>, data: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
    let point = decode(data.as_bytes()).map_err(value_error)?;
    Ok(PyBytes::new(py, &compress(&point)))
}

#[pyfunction]
pub fn decompress_points<'py>(py: Python<'py>, data: Vec<Bound<'py, PyBytes>>, is_checked: bool) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let points = decode_all(py, &data, |bytes| {
        let point = decompress(bytes)?;
        if is_checked && !is_in_subgroup(&point) {
            return Err("a point outside the prime-order subgroup".into());
        }
        Ok(point)
    })?;
    Ok(points.iter().map(|point| PyBytes::new(py, &encode(point))).collect())
}

fn decode_all(
    py: Python<'_>,
    data: &[Bound<'_, PyBytes>],
    decode: impl Fn(&[u8]) -> Result<Affine, String> + Sync + Send,
) -> PyResult<Vec<Affine>> {
    let bytes: Vec<&[u8]> = data.iter().map(|point| point.as_bytes()).collect();
    let points = py.detach(|| tasks::map(bytes.len(), GRAIN, |i| decode(bytes[i])));
    points.into_iter().collect::<Result<_, _>>().map_err(value_error)
}
