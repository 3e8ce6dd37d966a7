//! Tables of a sumcheck: integers until the first variable is bound, then proper elements. Entries behind the end are zero.

use crate::field::{proper, raw_integer, raw_limbs, Entries, Fr};
use crate::tasks;
use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;

const GRAIN: usize = 1 << 11;

pub enum Column {
    Integers(Vec<i64>),
    Elements(Vec<Fr>),
}

impl Column {
    pub fn new(entries: Entries) -> Self {
        match entries {
            Entries::Integers(v) => Self::Integers(v.to_vec()),
            Entries::Elements(v) => Self::Elements(tasks::map(v.len(), GRAIN, |i| proper(v[i]))),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Integers(v) => v.len(),
            Self::Elements(v) => v.len(),
        }
    }

    /// Entry `index`, proper.
    #[inline]
    pub fn get(&self, index: usize) -> Fr {
        match self {
            Self::Integers(v) => v.get(index).map_or(Fr::ZERO, |&value| proper(raw_limbs(raw_integer(value)))),
            Self::Elements(v) => v.get(index).copied().unwrap_or(Fr::ZERO),
        }
    }

    /// The value of pair `index` at 0, and its difference to that at 1.
    #[inline]
    pub fn pair(&self, index: usize) -> (Fr, Fr) {
        let low = self.get(2 * index);
        (low, self.get(2 * index + 1) - low)
    }

    /// Variable 0 becomes `challenge`: half the entries, rounded up.
    pub fn bind(&mut self, challenge: Fr) {
        let half = self.len().div_ceil(2);
        let bound = match self {
            Self::Elements(_) => tasks::map(half, GRAIN, |i| self.bind_pair(i, challenge)),
            Self::Integers(v) => {
                let at = |i: usize| raw_integer(v.get(i).copied().unwrap_or(0));
                // Raw entries and a challenge that is proper twice over give a proper result: three products a pair become two.
                let (twice, one) = (proper(raw_limbs(challenge)), proper(raw_limbs(Fr::ONE)));
                tasks::map(half, GRAIN, |i| at(2 * i) * one + (at(2 * i + 1) - at(2 * i)) * twice)
            }
        };
        *self = Self::Elements(bound);
    }

    #[inline]
    fn bind_pair(&self, index: usize, challenge: Fr) -> Fr {
        let (low, step) = self.pair(index);
        low + challenge * step
    }
}

/// A table of weights eq(point, ·) over the variables still to come, halved as they are bound.
pub struct EqTable(Vec<Fr>);

impl EqTable {
    pub fn new(point: &[Fr]) -> Self {
        Self(crate::vectors::eq_table(point))
    }

    pub fn get(&self, index: usize) -> Fr {
        self.0[index]
    }

    /// Without its variable 0: the sum over both values of it.
    pub fn shorten(&mut self) {
        if self.0.len() > 1 {
            self.0 = tasks::map(self.0.len() / 2, GRAIN, |i| self.0[2 * i] + self.0[2 * i + 1]);
        }
    }
}

/// Σ over pairs of the values that `term` adds to N sums, on all cores where there are many.
pub fn sum_pairs<const N: usize>(count: usize, term: impl Fn(usize, &mut [Fr; N]) + Sync + Send) -> [Fr; N] {
    let merge = |mut a: [Fr; N], b: [Fr; N]| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    let sequential = |range: std::ops::Range<usize>| {
        let mut sums = [Fr::ZERO; N];
        range.for_each(|i| term(i, &mut sums));
        sums
    };
    const PAIRS: usize = 64;
    if count <= 2 * PAIRS {
        return sequential(0..count);
    }
    let tasks = count.div_ceil(PAIRS);
    (0..tasks).into_par_iter().map(|t| sequential(t * PAIRS..count.min((t + 1) * PAIRS))).reduce(|| [Fr::ZERO; N], merge)
}

/// For degree d, the matrix that turns values at 0 … d into coefficients (Lagrange).
pub fn compute_interpolation(degree: usize) -> Vec<Vec<Fr>> {
    let mut columns = Vec::new();
    for node in 0..=degree {
        let (mut basis, mut denominator) = (vec![Fr::ONE], Fr::ONE);
        for other in (0..=degree).filter(|&other| other != node) {
            let mut next = vec![Fr::ZERO; basis.len() + 1];
            for (i, &b) in basis.iter().enumerate() {
                next[i + 1] += b;
                next[i] -= b * Fr::from(other as u64);
            }
            denominator *= Fr::from(node as u64) - Fr::from(other as u64);
            basis = next;
        }
        let scale = denominator.inverse().expect("nodes differ");
        columns.push(basis.into_iter().map(|b| b * scale).collect::<Vec<_>>());
    }
    (0..=degree).map(|i| columns.iter().map(|column| column[i]).collect()).collect()
}

/// Coefficients from values at 0 … d.
pub fn interpolate(matrix: &[Vec<Fr>], values: &[Fr]) -> Vec<Fr> {
    matrix.iter().map(|row| row.iter().zip(values).map(|(m, v)| *m * v).sum()).collect()
}

/// Whether a table of `length` entries fits, without overflow for any number of variables.
pub fn is_within(length: usize, variables: usize) -> bool {
    variables >= usize::BITS as usize || length <= 1usize << variables
}
