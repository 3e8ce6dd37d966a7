//! Vectors and polynomials.

use crate::edge::{self, check_fits, check_length, elements, integers, numbers, read_all, read_size, read_variables, scalar, scalars};
use crate::edge::{to_array, value_error, vector, Object, Operand, Vector, MAX_VARIABLES};
use crate::field::{limbs, proper, raw, raw_integer, raw_limbs, Entries, Limbs};
use crate::sums::{self, Weights};
use crate::{polynomials, vectors};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use std::collections::HashMap;

type Tensor<'py> = (Vec<(Object<'py>, Object<'py>)>, Vec<Object<'py>>, Vec<Object<'py>>);

#[pyfunction]
pub fn from_scalars<'py>(py: Python<'py>, values: Vec<Object<'py>>) -> PyResult<Vector<'py>> {
    to_array(py, scalars(&values)?.into_iter().map(limbs).collect())
}

#[pyfunction]
pub fn to_scalars<'py>(py: Python<'py>, vector: &Object<'py>) -> PyResult<Vec<Object<'py>>> {
    let vector = edge::vector(vector, "vector")?;
    elements(&vector).iter().map(|&limbs| edge::integer(py, limbs)).collect()
}

#[pyfunction]
pub fn from_integers<'py>(py: Python<'py>, integers: &Object<'py>) -> PyResult<Vector<'py>> {
    let array = edge::integers(integers, "integers")?;
    let values = numbers(&array);
    to_array(py, py.detach(|| vectors::map(values.len(), |i| raw_limbs(raw_integer(values[i])))))
}

#[pyfunction]
pub fn eq_table<'py>(py: Python<'py>, point: Vec<Object<'py>>) -> PyResult<Vector<'py>> {
    read_variables(point.len() as isize, MAX_VARIABLES)?;
    let point = scalars(&point)?;
    let table = py.detach(|| {
        let table = vectors::eq_table(&point);
        vectors::map(table.len(), |i| limbs(table[i]))
    });
    to_array(py, table)
}

#[pyfunction]
pub fn evaluate<'py>(py: Python<'py>, values: &Object<'py>, point: Vec<Object<'py>>) -> PyResult<Object<'py>> {
    let (operand, point) = (Operand::read(values, "values")?, scalars(&point)?);
    let entries = operand.entries();
    check_fits("values", entries.len(), point.len())?;
    let value = py.detach(|| vectors::evaluate(entries, &point));
    edge::integer(py, value)
}

#[pyfunction]
pub fn affine<'py>(
    py: Python<'py>,
    constant: &Object<'py>,
    coefficients: Vec<Object<'py>>,
    columns: Vec<Object<'py>>,
) -> PyResult<Vector<'py>> {
    check_length("coefficients", coefficients.len(), columns.len())?;
    let (constant, coefficients) = (scalar(constant)?, scalars(&coefficients)?);
    let arrays = columns.iter().map(|column| integers(column, "columns")).collect::<PyResult<Vec<PyReadonlyArray1<i64>>>>()?;
    let columns: Vec<&[i64]> = arrays.iter().map(numbers).collect();
    let first = columns.first().ok_or_else(|| value_error("columns: none, so the length is unknown"))?;
    columns.iter().try_for_each(|column| check_length("columns", column.len(), first.len()))?;
    to_array(py, py.detach(|| vectors::affine(constant, coefficients, &columns)))
}

#[pyfunction]
pub fn invert_all<'py>(py: Python<'py>, vector: &Object<'py>) -> PyResult<Vector<'py>> {
    let array = edge::vector(vector, "vector")?;
    let values = elements(&array);
    let inverses = py.detach(|| vectors::invert_all(values));
    to_array(py, inverses.ok_or_else(|| value_error("vector: zero has no inverse"))?)
}

#[pyfunction]
pub fn add<'py>(py: Python<'py>, a: &Object<'py>, b: &Object<'py>) -> PyResult<Vector<'py>> {
    let (a, b) = (vector(a, "a")?, vector(b, "b")?);
    let (a, b) = (elements(&a), elements(&b));
    check_length("b", b.len(), a.len())?;
    to_array(py, py.detach(|| vectors::map(a.len(), |i| raw_limbs(raw(a[i]) + raw(b[i])))))
}

#[pyfunction]
pub fn multiply<'py>(py: Python<'py>, a: &Object<'py>, b: &Object<'py>) -> PyResult<Vector<'py>> {
    let (a, b) = (vector(a, "a")?, Operand::read(b, "b")?);
    let (a, b) = (elements(&a), b.entries());
    check_length("b", b.len(), a.len())?;
    to_array(py, py.detach(|| vectors::map(b.len(), |i| raw_limbs(proper(a[i]) * b.raw(i)))))
}

#[pyfunction]
pub fn dot<'py>(py: Python<'py>, a: &Object<'py>, b: &Object<'py>) -> PyResult<Object<'py>> {
    let (a, b) = (vector(a, "a")?, Operand::read(b, "b")?);
    let (a, b) = (elements(&a), b.entries());
    check_length("b", b.len(), a.len())?;
    let sum = py.detach(|| sums::dot(&Weights::new(a.to_vec()), b));
    edge::integer(py, raw_limbs(sum))
}

#[pyfunction]
pub fn contract<'py>(py: Python<'py>, values: &Object<'py>, shape: (isize, isize, isize), weights: &Object<'py>) -> PyResult<Vector<'py>> {
    let (operand, weights) = (Operand::read(values, "values")?, vector(weights, "weights")?);
    let (entries, weights) = (operand.entries(), elements(&weights));
    let unusable = || value_error(format!("shape: {shape:?}"));
    let (outer, n, inner) = (read_size("shape", shape.0)?, read_size("shape", shape.1)?, read_size("shape", shape.2)?);
    let results = outer.checked_mul(inner).ok_or_else(unusable)?;
    check_length("values", entries.len(), results.checked_mul(n).ok_or_else(unusable)?)?;
    check_length("weights", weights.len(), n)?;
    let sums = py.detach(|| {
        if results == 0 || n == 0 {
            return vec![[0; 4]; results];
        }
        sums::contract(entries, (outer, inner), &Weights::new(weights.to_vec())).into_iter().map(raw_limbs).collect()
    });
    to_array(py, sums)
}

#[pyfunction]
pub fn accumulate<'py>(py: Python<'py>, coefficients: Vec<Object<'py>>, chunks: Vec<Object<'py>>, length: isize) -> PyResult<Vector<'py>> {
    check_length("coefficients", coefficients.len(), chunks.len())?;
    let length = read_size("length", length)?;
    let (coefficients, chunks) = (scalars(&coefficients)?, read_all(&chunks, "chunks")?);
    let entries: Vec<Entries> = chunks.iter().map(Operand::entries).collect();
    for chunk in &entries {
        if chunk.len() > length {
            return Err(value_error(format!("chunks: {} entries, at most {length}", chunk.len())));
        }
    }
    to_array(py, py.detach(|| sums::accumulate(&coefficients, &entries, length).into_iter().map(raw_limbs).collect()))
}

#[pyfunction]
pub fn multiply_tensors<'py>(py: Python<'py>, terms: Vec<Tensor<'py>>) -> PyResult<Vector<'py>> {
    let levels = terms.first().ok_or_else(|| value_error("terms: none, so the length is unknown"))?.0.len();
    read_variables(levels as isize, MAX_VARIABLES)?;
    let mut pairs = Vec::new();
    let mut numbers = HashMap::<[Limbs; 2], u32>::new();
    let mut lows = Vec::new();
    let mut operands = Vec::new();
    for (low, coefficients, chunks) in &terms {
        check_length("pairs", low.len(), levels)?;
        check_length("coefficients", coefficients.len(), chunks.len())?;
        let mut of_term = Vec::new();
        for (a, b) in low {
            let pair = (scalar(a)?, scalar(b)?);
            of_term.push(*numbers.entry([raw_limbs(pair.0), raw_limbs(pair.1)]).or_insert_with(|| {
                pairs.push(pair);
                pairs.len() as u32 - 1
            }));
        }
        lows.push(of_term);
        operands.push((scalars(coefficients)?, read_all(chunks, "chunks")?));
    }
    let mut tensors = Vec::new();
    for (low, (coefficients, chunks)) in lows.into_iter().zip(&operands) {
        let chunks: Vec<Entries> = chunks.iter().map(Operand::entries).collect();
        chunks.iter().try_for_each(|chunk| check_fits("chunks", chunk.len(), levels))?;
        tensors.push(polynomials::Tensor { low, coefficients: coefficients.clone(), chunks });
    }
    to_array(py, py.detach(|| polynomials::multiply_tensors(&pairs, levels, tensors)))
}

#[pyfunction]
pub fn divide<'py>(py: Python<'py>, polynomial: &Object<'py>, z: &Object<'py>) -> PyResult<Vector<'py>> {
    let (array, z) = (vector(polynomial, "polynomial")?, scalar(z)?);
    let coefficients = elements(&array);
    if coefficients.is_empty() {
        return Err(value_error("polynomial: no coefficients"));
    }
    to_array(py, py.detach(|| polynomials::divide(coefficients, z)))
}
