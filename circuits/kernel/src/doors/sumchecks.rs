//! The two sumchecks, as classes that hold their tables.

use crate::columns::Column;
use crate::edge::{
    self, check_fits, elements, integers, numbers, read_size, read_variables, scalar, scalars, value_error, vector, Object, Operand,
};
use crate::field::{limbs, Entries};
use crate::product_check;
use crate::zero_check::{self, Kind};
use pyo3::prelude::*;

type Rows<'py> = (Vec<Object<'py>>, Object<'py>, Object<'py>, Object<'py>, isize);
type Lookups<'py> = (Object<'py>, Object<'py>, Object<'py>, Object<'py>, Object<'py>, isize);
type Table<'py> = (Object<'py>, Object<'py>, Object<'py>, isize);
type Summand<'py> = (Object<'py>, Option<Object<'py>>, Object<'py>, Object<'py>, isize);

const ROUNDS_OVER: &str = "all rounds are over";

#[pyclass(module = "affidavit_kernel")]
pub struct ZeroCheck(zero_check::ZeroCheck);

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
pub struct ProductCheck(product_check::ProductCheck);

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
