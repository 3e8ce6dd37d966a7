//! `affidavit_kernel`: the engine of circuits/engine.py in Rust. circuits/twin says what every function means, in plain Python; here is the
//! door: arguments are read, the GIL is released, the work is done on all cores, the result is handed over.

mod columns;
mod commitments;
mod edge;
mod field;
mod points;
mod polynomials;
mod product_check;
mod sums;
mod vectors;
mod wide;
mod zero_check;

use columns::{is_within, Column};
use edge::{check_length, elements, integers, numbers, read_all, scalar, scalars, to_array, value_error, vector, Operand};
use field::{limbs, proper, raw, raw_integer, raw_limbs, Entries, Limbs};
use numpy::{PyArray2, PyReadonlyArray1};
use points::{compress, decode, decompress, encode, is_in_subgroup, Affine};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rayon::prelude::*;
use sums::Weights;
use zero_check::Kind;

type Vector<'py> = Bound<'py, PyArray2<u64>>;
type Object<'py> = Bound<'py, PyAny>;
type Rows<'py> = (Vec<Object<'py>>, Object<'py>, Object<'py>, Object<'py>, isize);
type Lookups<'py> = (Object<'py>, Object<'py>, Object<'py>, Object<'py>, Object<'py>, isize);
type Table<'py> = (Object<'py>, Object<'py>, Object<'py>, isize);
type Summand<'py> = (Object<'py>, Option<Object<'py>>, Object<'py>, Object<'py>, isize);
type Term<'py> = (Vec<(Object<'py>, Object<'py>)>, Object<'py>);

const MAX_VARIABLES: usize = 30; // of a table: beyond, it would be the allocator that says no, by ending the process
const ROUNDS_OVER: &str = "all rounds are over";

// ---- vectors ----------------------------------------------------------------------------------------------------------------------

#[pyfunction]
fn from_scalars<'py>(py: Python<'py>, values: Vec<Object<'py>>) -> PyResult<Vector<'py>> {
    to_array(py, scalars(&values)?.into_iter().map(limbs).collect())
}

#[pyfunction]
fn to_scalars<'py>(py: Python<'py>, vector: &Object<'py>) -> PyResult<Vec<Object<'py>>> {
    let vector = edge::vector(vector, "vector")?;
    elements(&vector).iter().map(|&limbs| edge::integer(py, limbs)).collect()
}

#[pyfunction]
fn from_integers<'py>(py: Python<'py>, integers: &Object<'py>) -> PyResult<Vector<'py>> {
    let array = edge::integers(integers, "integers")?;
    let values = numbers(&array);
    to_array(py, py.detach(|| vectors::map(values.len(), |i| raw_limbs(raw_integer(values[i])))))
}

#[pyfunction]
fn eq_table<'py>(py: Python<'py>, point: Vec<Object<'py>>) -> PyResult<Vector<'py>> {
    read_variables(point.len() as isize, MAX_VARIABLES)?;
    let point = scalars(&point)?;
    let table = py.detach(|| {
        let table = vectors::eq_table(&point);
        vectors::map(table.len(), |i| limbs(table[i]))
    });
    to_array(py, table)
}

#[pyfunction]
fn evaluate<'py>(py: Python<'py>, values: &Object<'py>, point: Vec<Object<'py>>) -> PyResult<Object<'py>> {
    let (operand, point) = (Operand::read(values, "values")?, scalars(&point)?);
    let entries = operand.entries();
    check_fits("values", entries.len(), point.len())?;
    let value = py.detach(|| vectors::evaluate(entries, &point));
    edge::integer(py, value)
}

#[pyfunction]
fn affine<'py>(
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
fn invert_all<'py>(py: Python<'py>, vector: &Object<'py>) -> PyResult<Vector<'py>> {
    let array = edge::vector(vector, "vector")?;
    let values = elements(&array);
    let inverses = py.detach(|| vectors::invert_all(values));
    to_array(py, inverses.ok_or_else(|| value_error("vector: zero has no inverse"))?)
}

#[pyfunction]
fn add<'py>(py: Python<'py>, a: &Object<'py>, b: &Object<'py>) -> PyResult<Vector<'py>> {
    let (a, b) = (vector(a, "a")?, vector(b, "b")?);
    let (a, b) = (elements(&a), elements(&b));
    check_length("b", b.len(), a.len())?;
    to_array(py, py.detach(|| vectors::map(a.len(), |i| raw_limbs(raw(a[i]) + raw(b[i])))))
}

#[pyfunction]
fn multiply<'py>(py: Python<'py>, a: &Object<'py>, b: &Object<'py>) -> PyResult<Vector<'py>> {
    let (a, b) = (vector(a, "a")?, Operand::read(b, "b")?);
    let (a, b) = (elements(&a), b.entries());
    check_length("b", b.len(), a.len())?;
    to_array(py, py.detach(|| vectors::map(b.len(), |i| raw_limbs(proper(a[i]) * b.raw(i)))))
}

#[pyfunction]
fn dot<'py>(py: Python<'py>, a: &Object<'py>, b: &Object<'py>) -> PyResult<Object<'py>> {
    let (a, b) = (vector(a, "a")?, Operand::read(b, "b")?);
    let (a, b) = (elements(&a), b.entries());
    check_length("b", b.len(), a.len())?;
    let sum = py.detach(|| sums::dot(&Weights::new(a.to_vec()), b));
    edge::integer(py, raw_limbs(sum))
}

#[pyfunction]
fn contract<'py>(py: Python<'py>, values: &Object<'py>, shape: (isize, isize, isize), weights: &Object<'py>) -> PyResult<Vector<'py>> {
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
fn accumulate<'py>(py: Python<'py>, coefficients: Vec<Object<'py>>, chunks: Vec<Object<'py>>, length: isize) -> PyResult<Vector<'py>> {
    check_length("coefficients", coefficients.len(), chunks.len())?;
    let length = read_size("length", length)?;
    let (coefficients, chunks) = (scalars(&coefficients)?, read_all(&chunks, "chunks")?);
    let entries: Vec<Entries> = chunks.iter().map(Operand::entries).collect();
    for chunk in &entries {
        if chunk.len() > length {
            return Err(value_error(format!("chunks: {} entries, at most {length}", chunk.len())));
        }
    }
    to_array(py, py.detach(|| sums::accumulate(coefficients, &entries, length)))
}

#[pyfunction]
fn multiply_pairs<'py>(py: Python<'py>, terms: Vec<Term<'py>>) -> PyResult<Vector<'py>> {
    let count = terms.first().ok_or_else(|| value_error("terms: none, so the length is unknown"))?.0.len();
    let mut pairs = Vec::new();
    let mut numbers = std::collections::HashMap::<[Limbs; 2], u32>::new();
    let mut read_terms = Vec::new();
    for (low, polynomial) in &terms {
        check_length("pairs", low.len(), count)?;
        let polynomial = vector(polynomial, "polynomial")?;
        let length = elements(&polynomial).len();
        check_length("polynomial", length, 1usize.checked_shl(count as u32).unwrap_or(0))?;
        let mut key = Vec::new();
        for (a, b) in low {
            let pair = (scalar(a)?, scalar(b)?);
            key.push(*numbers.entry([raw_limbs(pair.0), raw_limbs(pair.1)]).or_insert_with(|| {
                pairs.push(pair);
                pairs.len() as u32 - 1
            }));
        }
        read_terms.push((key, elements(&polynomial).iter().map(|&limbs| raw(limbs)).collect()));
    }
    to_array(py, py.detach(|| polynomials::multiply_pairs(&pairs, read_terms)))
}

#[pyfunction]
fn divide<'py>(py: Python<'py>, polynomial: &Object<'py>, z: &Object<'py>) -> PyResult<Vector<'py>> {
    let (array, z) = (vector(polynomial, "polynomial")?, scalar(z)?);
    let coefficients = elements(&array);
    if coefficients.is_empty() {
        return Err(value_error("polynomial: no coefficients"));
    }
    to_array(py, py.detach(|| polynomials::divide(coefficients, z)))
}

fn check_fits(what: &str, length: usize, variables: usize) -> PyResult<()> {
    if is_within(length, variables) {
        return Ok(());
    }
    Err(value_error(format!("{what}: {length} entries in {variables} variables")))
}

/// A number of variables that is in range.
fn read_variables(variables: isize, most: usize) -> PyResult<usize> {
    let most = most.min(MAX_VARIABLES);
    let read = usize::try_from(variables).ok().filter(|&v| v <= most);
    read.ok_or_else(|| value_error(format!("variables: {variables}, expected 0 to {most}")))
}

fn read_size(what: &str, size: isize) -> PyResult<usize> {
    usize::try_from(size).map_err(|_| value_error(format!("{what}: {size}")))
}

// ---- sumchecks ----------------------------------------------------------------------------------------------------------------------

#[pyclass(module = "affidavit_kernel")]
struct ZeroCheck(zero_check::ZeroCheck);

#[pymethods]
impl ZeroCheck {
    #[new]
    fn new(
        py: Python<'_>,
        rows: Rows<'_>,
        lookups: Option<Lookups<'_>>,
        table: Table<'_>,
        alpha: &Object<'_>,
        beta: &Object<'_>,
        rho: &Object<'_>,
        kappa: &Object<'_>,
        tau: Vec<Object<'_>>,
        degree: isize,
    ) -> PyResult<Self> {
        let challenges = [scalar(alpha)?, scalar(beta)?, scalar(rho)?, scalar(kappa)?];
        let tau = scalars(&tau)?;
        let (columns, helper, offset, active, variables) = rows;
        if !(5..=6).contains(&columns.len()) {
            return Err(value_error(format!("columns: {} of them, expected 5 or 6", columns.len())));
        }
        let degree = read_size("degree", degree)?;
        if degree < columns.len() {
            return Err(value_error(format!("degree: {degree}, at least {}", columns.len())));
        }
        let mut of_rows = columns.iter().map(|column| read_column(py, column, "columns")).collect::<PyResult<Vec<_>>>()?;
        of_rows.extend([vector_column(py, &helper, "helper")?, integer_column(&offset, "offset")?, integer_column(&active, "active")?]);
        let mut instances = vec![(Kind::Rows { limbs: columns.len() - 4 }, of_rows, variables)];
        if let Some((x, y, tag, active, helper, variables)) = lookups {
            let mut of_lookups = [x, y, tag, active].iter().map(|c| integer_column(c, "lookups")).collect::<PyResult<Vec<_>>>()?;
            of_lookups.push(vector_column(py, &helper, "helper")?);
            instances.push((Kind::Lookups, of_lookups, variables));
        }
        let (entries, multiplicities, helper, variables) = table;
        let of_table = vec![
            vector_column(py, &entries, "entries")?,
            integer_column(&multiplicities, "multiplicities")?,
            vector_column(py, &helper, "helper")?,
        ];
        instances.push((Kind::Table, of_table, variables));
        let mut checked = Vec::new();
        for (kind, columns, variables) in instances {
            let variables = read_variables(variables, tau.len())?;
            columns.iter().try_for_each(|column| check_fits("a table", column.len(), variables))?;
            checked.push((kind, columns, variables));
        }
        Ok(Self(py.detach(|| zero_check::ZeroCheck::new(checked, challenges, &tau, degree))))
    }

    fn message<'py>(&self, py: Python<'py>) -> PyResult<Vec<Object<'py>>> {
        let message = py.detach(|| self.0.message());
        edge::integers_of(py, &message.ok_or_else(|| value_error(ROUNDS_OVER))?)
    }

    fn bind(&mut self, py: Python<'_>, challenge: &Object<'_>) -> PyResult<()> {
        let challenge = scalar(challenge)?;
        py.detach(|| self.0.bind(challenge)).ok_or_else(|| value_error(ROUNDS_OVER))
    }
}

#[pyclass(module = "affidavit_kernel")]
struct ProductCheck(product_check::ProductCheck);

#[pymethods]
impl ProductCheck {
    #[new]
    fn new(py: Python<'_>, summands: Vec<Summand<'_>>, variables: isize, degree: isize) -> PyResult<Self> {
        if !(2..=3).contains(&degree) {
            return Err(value_error(format!("degree: {degree}, expected 2 or 3")));
        }
        let (rounds, mut read) = (read_size("variables", variables)?, Vec::new());
        for (factor, eq, a, b, own) in &summands {
            if eq.is_some() && degree == 2 {
                return Err(value_error("eq: a table in a sumcheck of degree 2"));
            }
            let own = read_variables(*own, rounds)?;
            let eq = eq.as_ref().map(|eq| vector_column(py, eq, "eq")).transpose()?;
            let (a, b) = (read_column(py, a, "a")?, read_column(py, b, "b")?);
            for column in [&a, &b].into_iter().chain(&eq) {
                check_fits("a table", column.len(), own)?;
            }
            read.push(product_check::Summand::new(scalar(factor)?, eq, a, b, (own, rounds)));
        }
        Ok(Self(product_check::ProductCheck::new(read, rounds, degree as usize)))
    }

    fn message<'py>(&self, py: Python<'py>) -> PyResult<Vec<Object<'py>>> {
        let message = py.detach(|| self.0.message());
        edge::integers_of(py, &message.ok_or_else(|| value_error(ROUNDS_OVER))?)
    }

    fn bind(&mut self, py: Python<'_>, challenge: &Object<'_>) -> PyResult<()> {
        let challenge = scalar(challenge)?;
        py.detach(|| self.0.bind(challenge)).ok_or_else(|| value_error(ROUNDS_OVER))
    }

    fn ends<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Object<'py>, Object<'py>)>> {
        let ends = self.0.ends().ok_or_else(|| value_error("rounds are still to come"))?;
        ends.into_iter().map(|(a, b)| Ok((edge::integer(py, limbs(a))?, edge::integer(py, limbs(b))?))).collect()
    }
}

fn read_column(py: Python<'_>, object: &Object<'_>, what: &str) -> PyResult<Column> {
    let operand = Operand::read(object, what)?;
    let entries = operand.entries();
    Ok(py.detach(|| Column::new(entries)))
}

fn vector_column(py: Python<'_>, object: &Object<'_>, what: &str) -> PyResult<Column> {
    let array = vector(object, what)?;
    let values = elements(&array);
    Ok(py.detach(|| Column::new(Entries::Elements(values))))
}

fn integer_column(object: &Object<'_>, what: &str) -> PyResult<Column> {
    Ok(Column::new(Entries::Integers(numbers(&integers(object, what)?))))
}

// ---- curve --------------------------------------------------------------------------------------------------------------------------

#[pyclass(frozen, module = "affidavit_kernel")]
struct Powers(commitments::Powers);

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
fn combine<'py>(py: Python<'py>, points: Vec<Bound<'py, PyBytes>>, scalars: Vec<Object<'py>>) -> PyResult<Bound<'py, PyBytes>> {
    check_length("scalars", scalars.len(), points.len())?;
    let points = decode_all(py, &points, decode)?;
    let scalars: Vec<Limbs> = edge::scalars(&scalars)?.into_iter().map(limbs).collect();
    Ok(PyBytes::new(py, &py.detach(|| commitments::combine(&points, &scalars))))
}

#[pyfunction]
fn decode_point(data: &Bound<'_, PyBytes>) -> PyResult<()> {
    let point = decode(data.as_bytes()).map_err(value_error)?;
    if is_in_subgroup(&point) {
        return Ok(());
    }
    Err(value_error("a point outside the prime-order subgroup"))
}

#[pyfunction]
fn compress_point<'py>(py: Python<'py>, data: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyBytes>> {
    let point = decode(data.as_bytes()).map_err(value_error)?;
    Ok(PyBytes::new(py, &compress(&point)))
}

#[pyfunction]
fn decompress_points<'py>(py: Python<'py>, data: Vec<Bound<'py, PyBytes>>, is_checked: bool) -> PyResult<Vec<Bound<'py, PyBytes>>> {
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
    py.detach(|| bytes.par_iter().map(|bytes| decode(bytes)).collect::<Result<_, _>>()).map_err(value_error)
}

#[pymodule(gil_used = false)]
mod affidavit_kernel {
    #[pymodule_export]
    use super::{accumulate, add, affine, combine, compress_point, contract, decode_point, decompress_points, divide, dot, eq_table};
    #[pymodule_export]
    use super::{evaluate, from_integers, from_scalars, invert_all, multiply, multiply_pairs, to_scalars, Powers, ProductCheck, ZeroCheck};
}
