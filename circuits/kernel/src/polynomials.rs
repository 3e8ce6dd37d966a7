//! Polynomials in one variable, as coefficients, lowest first: the two steps of an opening that are not sums.

use crate::field::{raw, raw_limbs, Entries, Fr, Limbs};
use crate::sums::accumulate;
use crate::tasks;
use ark_ff::{AdditiveGroup, Field};
use std::collections::btree_map::Entry;
use std::collections::BTreeMap;

pub type Pair = (Fr, Fr);

const GRAIN: usize = 1 << 11; // coefficients that are worth a task

/// Σ coefficient·chunk, and the numbers of the pairs it is to be multiplied with.
pub struct Tensor<'a> {
    pub low: Vec<u32>,
    pub coefficients: Vec<Fr>,
    pub chunks: Vec<Entries<'a>>,
}

/// A raw polynomial times X^offset.
#[derive(Default)]
struct Shifted {
    offset: usize,
    coefficients: Vec<Fr>,
}

/// The first 2^(k + 1) − 1 coefficients of Σ (Σ coefficient·chunk)·Π_j (a_j·X^(2^j) + b_j), k pairs each. Terms that share a prefix of
/// their pairs are added up as soon as nothing else differs; a fixed bit, (1, 0) or (0, 1), moves a polynomial and does not touch it.
pub fn multiply_tensors(pairs: &[Pair], levels: usize, tensors: Vec<Tensor>) -> Vec<Limbs> {
    let mut live: BTreeMap<&[u32], Shifted> = BTreeMap::new();
    for tensor in &tensors {
        let length = tensor.chunks.iter().map(Entries::len).max().unwrap_or(0);
        let coefficients = accumulate(&tensor.coefficients, &tensor.chunks, length);
        add_to(&mut live, &tensor.low, Shifted { offset: 0, coefficients });
    }
    for level in (0..levels).rev() {
        let mut shorter = BTreeMap::new();
        for (low, polynomial) in live {
            add_to(&mut shorter, &low[..level], polynomial.multiply(pairs[low[level] as usize], 1 << level));
        }
        live = shorter;
    }
    let mut result = vec![[0; 4]; (2 << levels) - 1];
    let Shifted { offset, coefficients } = &live[&[][..]];
    result[*offset..].iter_mut().zip(coefficients).for_each(|(limbs, &c)| *limbs = raw_limbs(c));
    result
}

fn add_to<'a>(sums: &mut BTreeMap<&'a [u32], Shifted>, low: &'a [u32], polynomial: Shifted) {
    match sums.entry(low) {
        Entry::Vacant(entry) => drop(entry.insert(polynomial)),
        Entry::Occupied(mut entry) => entry.get_mut().add(polynomial),
    }
}

impl Shifted {
    fn add(&mut self, other: Self) {
        // The one that begins first is extended.
        let (mut sum, other) = if self.offset <= other.offset { (std::mem::take(self), other) } else { (other, std::mem::take(self)) };
        let start = other.offset - sum.offset;
        let length = sum.coefficients.len().max(start + other.coefficients.len());
        sum.coefficients.resize(length, Fr::ZERO);
        sum.coefficients[start..].iter_mut().zip(&other.coefficients).for_each(|(a, b)| *a += b);
        *self = sum;
    }

    /// Times a·X^step + b: no product for fixed bits and the sum (1, 1), one for a coordinate (x, 1 − x), two for any other pair.
    fn multiply(mut self, (a, b): Pair, step: usize) -> Self {
        if a == Fr::ZERO || b == Fr::ZERO {
            let factor = a + b;
            self.offset += if b == Fr::ZERO { step } else { 0 };
            if factor != Fr::ONE {
                self.coefficients.iter_mut().for_each(|c| *c *= factor);
            }
            return self;
        }
        let old = self.coefficients;
        let (is_sum, is_coordinate) = (a == Fr::ONE && b == Fr::ONE, a + b == Fr::ONE);
        let mut coefficients = vec![Fr::ZERO; if old.is_empty() { 0 } else { old.len() + step }];
        tasks::fill(&mut coefficients, GRAIN, GRAIN, |number, part| {
            for (i, out) in (number * GRAIN..).zip(part) {
                let plain = old.get(i).copied().unwrap_or(Fr::ZERO);
                let moved = i.checked_sub(step).map_or(Fr::ZERO, |i| old[i]);
                *out = if is_sum {
                    plain + moved
                } else if is_coordinate {
                    plain + a * (moved - plain)
                } else {
                    b * plain + a * moved
                };
            }
        });
        Self { offset: self.offset, coefficients }
    }
}

/// The quotient by X − z of a polynomial with at least one coefficient.
pub fn divide(polynomial: &[Limbs], z: Fr) -> Vec<Limbs> {
    let mut quotient = vec![[0; 4]; polynomial.len() - 1];
    let mut carry = Fr::ZERO;
    for i in (1..polynomial.len()).rev() {
        carry = carry * z + raw(polynomial[i]);
        quotient[i - 1] = raw_limbs(carry);
    }
    quotient
}
