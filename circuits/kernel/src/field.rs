//! The scalar field r of BLS12-381, and how its elements cross the border.
//!
//! Outside, an element is four canonical limbs. Inside it is in Montgomery form: x is kept as x·2^256. Canonical limbs read as if they
//! were in that form ("raw") are the element x/2^256, and a product of a raw element with a proper one is raw again, since the factors
//! 2^256 cancel. So work that is linear in an array never converts it: weights are made proper, the array stays raw, and the limbs of the
//! raw result are the canonical ones.

pub use ark_bls12_381::Fr;
use ark_ff::{BigInt, Field, PrimeField};
use std::sync::LazyLock;

pub const LIMBS: usize = 4;
pub type Limbs = [u64; LIMBS];

pub static TWO_24: LazyLock<Fr> = LazyLock::new(|| power_of_two(24));
pub static TWO_63: LazyLock<Fr> = LazyLock::new(|| power_of_two(63));
pub static TWO_192: LazyLock<Fr> = LazyLock::new(|| power_of_two(192));
pub static TWO_384: LazyLock<Fr> = LazyLock::new(|| power_of_two(384));
pub static HALF: LazyLock<Fr> = LazyLock::new(|| Fr::from(2u64).inverse().expect("2 is not zero"));

pub fn power_of_two(exponent: u64) -> Fr {
    Fr::from(2u64).pow([exponent])
}

/// Canonical limbs, not converted. They must be reduced: the border has looked.
pub fn raw(limbs: Limbs) -> Fr {
    Fr::new_unchecked(BigInt(limbs))
}

/// The limbs of a raw element.
pub fn raw_limbs(element: Fr) -> Limbs {
    element.0 .0
}

/// Canonical limbs, converted.
pub fn proper(limbs: Limbs) -> Fr {
    Fr::new(BigInt(limbs))
}

/// The canonical limbs of a proper element.
pub fn limbs(element: Fr) -> Limbs {
    element.into_bigint().0
}

pub fn is_reduced(limbs: &Limbs) -> bool {
    let modulus = Fr::MODULUS.0;
    (0..LIMBS).rev().find(|&i| limbs[i] != modulus[i]).is_some_and(|i| limbs[i] < modulus[i])
}

/// An integer of any sign, raw. Costs no product.
pub fn raw_integer(value: i64) -> Fr {
    let magnitude = raw([value.unsigned_abs(), 0, 0, 0]);
    if value < 0 {
        -magnitude
    } else {
        magnitude
    }
}

/// What an argument holds: field elements as canonical limbs, or integers.
#[derive(Clone, Copy)]
pub enum Entries<'a> {
    Elements(&'a [Limbs]),
    Integers(&'a [i64]),
}

impl<'a> Entries<'a> {
    pub fn len(&self) -> usize {
        match self {
            Entries::Elements(elements) => elements.len(),
            Entries::Integers(integers) => integers.len(),
        }
    }

    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Entries::Elements(elements) => Entries::Elements(&elements[range]),
            Entries::Integers(integers) => Entries::Integers(&integers[range]),
        }
    }

    pub fn raw(&self, index: usize) -> Fr {
        match self {
            Entries::Elements(elements) => raw(elements[index]),
            Entries::Integers(integers) => raw_integer(integers[index]),
        }
    }
}
