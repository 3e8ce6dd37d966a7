//! `affidavit_kernel`: the engine of circuits/engine.py in Rust. circuits/twin says what every function means, in plain Python. `doors` are
//! what Python calls: arguments are read (`edge`), the GIL is released, the work is done on all cores, the result is handed over.

mod additions;
mod columns;
mod commitments;
mod edge;
mod field;
mod points;
mod polynomials;
mod product_check;
mod sums;
mod tasks;
mod vectors;
mod wide;
mod zero_check;

mod doors {
    pub mod curve;
    pub mod sumchecks;
    pub mod vectors;
}

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod affidavit_kernel {
    #[pymodule_export]
    use crate::doors::curve::{combine, compress_point, decode_point, decompress_points, Powers};
    #[pymodule_export]
    use crate::doors::sumchecks::{ProductCheck, ZeroCheck};
    #[pymodule_export]
    use crate::doors::vectors::{accumulate, add, affine, contract, divide, dot, eq_table, evaluate};
    #[pymodule_export]
    use crate::doors::vectors::{from_integers, from_scalars, invert_all, multiply, multiply_tensors, to_scalars};
}
