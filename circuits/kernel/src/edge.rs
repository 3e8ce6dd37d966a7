//! The border to Python: what comes in is looked at once, here, and named in the error if it is not what it should be.

use crate::columns;
use crate::field::{is_reduced, limbs, proper, Entries, Fr, Limbs, LIMBS};
use numpy::{
    PyArray1, PyArray2, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

pub type Object<'py> = Bound<'py, PyAny>;
pub type Vector<'py> = Bound<'py, PyArray2<u64>>;

pub const MAX_VARIABLES: usize = 30; // of a table: beyond, it would be the allocator that says no, by ending the process

pub fn value_error(text: impl Into<String>) -> PyErr {
    PyValueError::new_err(text.into())
}

pub fn check_length(what: &str, got: usize, expected: usize) -> PyResult<()> {
    if got == expected {
        Ok(())
    } else {
        Err(value_error(format!("{what}: {got} entries, expected {expected}")))
    }
}

pub fn check_fits(what: &str, length: usize, variables: usize) -> PyResult<()> {
    if columns::is_within(length, variables) {
        return Ok(());
    }
    Err(value_error(format!("{what}: {length} entries in {variables} variables")))
}

/// A number of variables that is in range.
pub fn read_variables(variables: isize, most: usize) -> PyResult<usize> {
    let most = most.min(MAX_VARIABLES);
    let read = usize::try_from(variables).ok().filter(|&v| v <= most);
    read.ok_or_else(|| value_error(format!("variables: {variables}, expected 0 to {most}")))
}

pub fn read_size(what: &str, size: isize) -> PyResult<usize> {
    usize::try_from(size).map_err(|_| value_error(format!("{what}: {size}")))
}

/// A Vector or Integers, borrowed. numpy's arrays are not copied, and not written to while they are read here (Python promises it).
pub enum Operand<'py> {
    Elements(PyReadonlyArray2<'py, u64>),
    Integers(PyReadonlyArray1<'py, i64>),
}

impl<'py> Operand<'py> {
    /// Told apart by dtype. TypeError for another one, ValueError for another shape, gaps, or elements that are not reduced.
    pub fn read(object: &Object<'py>, what: &str) -> PyResult<Self> {
        match array(object, what, "uint64 or int64")? {
            array if array.dtype().is_equiv_to(&numpy::dtype::<u64>(object.py())) => Ok(Self::Elements(vector(object, what)?)),
            _ => Ok(Self::Integers(integers(object, what)?)),
        }
    }

    pub fn entries(&self) -> Entries<'_> {
        match self {
            Self::Elements(array) => Entries::Elements(elements(array)),
            Self::Integers(array) => Entries::Integers(numbers(array)),
        }
    }
}

pub fn read_all<'py>(objects: &[Object<'py>], what: &str) -> PyResult<Vec<Operand<'py>>> {
    objects.iter().map(|object| Operand::read(object, what)).collect()
}

pub fn vector<'py>(object: &Object<'py>, what: &str) -> PyResult<PyReadonlyArray2<'py, u64>> {
    let untyped = array(object, what, "uint64")?;
    check_dtype::<u64>(&untyped, what, "uint64")?;
    if untyped.ndim() != 2 || untyped.shape()[1] != LIMBS {
        return Err(value_error(format!("{what}: shape {:?}, expected (n, {LIMBS})", untyped.shape())));
    }
    let array = object.cast::<PyArray2<u64>>()?.try_readonly().map_err(|e| value_error(format!("{what}: {e}")))?;
    if !elements(&array).iter().all(is_reduced) {
        return Err(value_error(format!("{what}: an element that is not reduced")));
    }
    Ok(array)
}

pub fn integers<'py>(object: &Object<'py>, what: &str) -> PyResult<PyReadonlyArray1<'py, i64>> {
    let untyped = array(object, what, "int64")?;
    check_dtype::<i64>(&untyped, what, "int64")?;
    if untyped.ndim() != 1 {
        return Err(value_error(format!("{what}: {} dimensions, expected 1", untyped.ndim())));
    }
    object.cast::<PyArray1<i64>>()?.try_readonly().map_err(|e| value_error(format!("{what}: {e}")))
}

/// `array` has looked at the layout, so the two below always have a slice.
pub fn elements<'a>(array: &'a PyReadonlyArray2<'_, u64>) -> &'a [Limbs] {
    array.as_slice().expect("a contiguous array").as_chunks().0
}

pub fn numbers<'a>(array: &'a PyReadonlyArray1<'_, i64>) -> &'a [i64] {
    array.as_slice().expect("a contiguous array")
}

fn array<'py>(object: &Object<'py>, what: &str, expected: &str) -> PyResult<Bound<'py, PyUntypedArray>> {
    let Ok(array) = object.cast::<PyUntypedArray>() else {
        return Err(PyTypeError::new_err(format!("{what}: {}, expected an array of {expected}", object.get_type().name()?)));
    };
    if !array.is_c_contiguous() || !array.is_aligned() {
        return Err(value_error(format!("{what}: an array that is not C-contiguous")));
    }
    Ok(array.clone())
}

fn check_dtype<T: numpy::Element>(array: &Bound<'_, PyUntypedArray>, what: &str, expected: &str) -> PyResult<()> {
    if array.dtype().is_equiv_to(&numpy::dtype::<T>(array.py())) {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!("{what}: {}, expected an array of {expected}", array.dtype())))
}

/// An integer of any size and sign, reduced. TypeError for anything that is no integer.
pub fn scalar(object: &Object<'_>) -> PyResult<Fr> {
    let py = object.py();
    let reduced = match object.cast::<PyInt>() {
        Ok(integer) => match to_limbs(integer)? {
            Some(limbs) if is_reduced(&limbs) => return Ok(proper(limbs)),
            _ => integer.call_method1(intern!(py, "__mod__"), (modulus(py)?,))?,
        },
        Err(_) => {
            let integer = py.import(intern!(py, "operator"))?.call_method1(intern!(py, "index"), (object,))?;
            integer.call_method1(intern!(py, "__mod__"), (modulus(py)?,))?
        }
    };
    let limbs = to_limbs(reduced.cast::<PyInt>()?)?;
    Ok(proper(limbs.ok_or_else(|| value_error("an integer whose remainder is not one"))?))
}

/// Its limbs, or None for an integer that is negative or longer.
fn to_limbs(integer: &Bound<'_, PyInt>) -> PyResult<Option<Limbs>> {
    let py = integer.py();
    match integer.call_method1(intern!(py, "to_bytes"), (8 * LIMBS, intern!(py, "little"))) {
        Ok(bytes) => {
            let (words, _) = bytes.cast::<PyBytes>()?.as_bytes().as_chunks::<8>();
            Ok(Some(std::array::from_fn(|i| u64::from_le_bytes(words[i]))))
        }
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn scalars(objects: &[Object<'_>]) -> PyResult<Vec<Fr>> {
    objects.iter().map(scalar).collect()
}

fn modulus<'py>(py: Python<'py>) -> PyResult<Object<'py>> {
    use ark_ff::PrimeField;
    static MODULUS: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    Ok(MODULUS.get_or_try_init(py, || integer(py, Fr::MODULUS.0).map(Bound::unbind))?.bind(py).clone())
}

/// Canonical limbs as a Python integer.
pub fn integer<'py>(py: Python<'py>, limbs: Limbs) -> PyResult<Object<'py>> {
    let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    let order: &Bound<'py, PyString> = intern!(py, "little");
    py.get_type::<PyInt>().call_method1(intern!(py, "from_bytes"), (PyBytes::new(py, &bytes), order))
}

pub fn integers_of<'py>(py: Python<'py>, elements: &[Fr]) -> PyResult<Vec<Object<'py>>> {
    elements.iter().map(|&element| integer(py, limbs(element))).collect()
}

/// Canonical limbs as a Vector; the memory is handed over, not copied.
pub fn to_array<'py>(py: Python<'py>, limbs: Vec<Limbs>) -> PyResult<Vector<'py>> {
    let count = limbs.len();
    PyArray1::from_vec(py, limbs.into_flattened()).reshape([count, LIMBS])
}
