//! Σ weights[k]·rows[k], elementwise: where a prover meets every weight of a model, and every chunk of its vectors.
//!
//! Integers are accumulated unreduced. Moved up by 2^63 they are unsigned, so a weight of four limbs costs four 64×64-bit products, added
//! up in four columns of 192 bits: about a nanosecond an entry, no branch, any magnitude. The move is taken back at the end, as
//! 2^63·Σ weights.

use crate::field::{raw, raw_limbs, Entries, Fr, Limbs, TWO_192, TWO_384, TWO_63};
use ark_ff::AdditiveGroup;
use rayon::prelude::*;

const TILE: usize = 32; // columns a task has at once
const DEPTH: usize = 128; // rows copied behind each other, so that a column is contiguous
const STRIDE: usize = DEPTH + 8; // not a power of two: the columns of the buffer would share cache sets
const GRAIN: usize = 1 << 14; // entries that are worth a task
const TOP_BIT: u64 = 1 << 63;

/// Weights in both forms: canonical limbs for integers, proper elements for elements.
pub struct Weights {
    pub limbs: Vec<Limbs>,
    pub elements: Vec<Fr>,
}

impl Weights {
    pub fn new(limbs: Vec<Limbs>) -> Self {
        let elements = limbs.iter().map(|&l| crate::field::proper(l)).collect();
        Self { limbs, elements }
    }

    pub fn from_elements(elements: Vec<Fr>) -> Self {
        let limbs = elements.iter().map(|&e| crate::field::limbs(e)).collect();
        Self { limbs, elements }
    }
}

/// Four columns of 192 bits: column j counts 2^(64·j).
#[derive(Clone, Copy, Default)]
struct Wide {
    low: [u128; 4],
    high: [u64; 4],
}

impl Wide {
    #[inline(always)]
    fn add(&mut self, weight: &Limbs, value: i64) {
        let moved = (value as u64 ^ TOP_BIT) as u128;
        for ((low, high), &limb) in self.low.iter_mut().zip(&mut self.high).zip(weight) {
            let (sum, carry) = low.overflowing_add(limb as u128 * moved);
            *low = sum;
            *high += carry as u64;
        }
    }

    #[inline(always)]
    fn add_all(mut self, weights: &[Limbs], values: &[i64]) -> Self {
        for (weight, &value) in weights.iter().zip(values) {
            self.add(weight, value);
        }
        self
    }

    /// The sum, raw.
    fn reduce(&self) -> Fr {
        let mut n = [0u64; 9];
        for j in 0..4 {
            let words = [self.low[j] as u64, (self.low[j] >> 64) as u64, self.high[j]];
            let mut carry = 0u128;
            for (place, n) in n[j..].iter_mut().enumerate() {
                let sum = *n as u128 + carry + words.get(place).copied().unwrap_or(0) as u128;
                *n = sum as u64;
                carry = sum >> 64;
            }
        }
        let part = |at: usize| raw([n[at], n[at + 1], n[at + 2], 0]); // below 2^192, so reduced
        part(0) + part(3) * *TWO_192 + part(6) * *TWO_384
    }
}

/// 2^63·Σ weights, raw.
fn compute_move(weights: &[Limbs]) -> Fr {
    weights.iter().map(|&w| raw(w)).sum::<Fr>() * *TWO_63
}

/// Σ weights·values, raw; both of one length.
pub fn dot(weights: &Weights, values: Entries) -> Fr {
    let count = weights.limbs.len();
    (0..count.div_ceil(GRAIN))
        .into_par_iter()
        .map(|task| {
            let (from, to) = (task * GRAIN, count.min((task + 1) * GRAIN));
            match values {
                Entries::Integers(v) => {
                    let part = &weights.limbs[from..to];
                    Wide::default().add_all(part, &v[from..to]).reduce() - compute_move(part)
                }
                Entries::Elements(v) => weights.elements[from..to].iter().zip(&v[from..to]).map(|(&w, &v)| w * raw(v)).sum(),
            }
        })
        .sum()
}

/// result[o·inner + i] = Σ_k weights[k]·values[(o·n + k)·inner + i], raw; values are outer·n·inner.
pub fn contract(values: Entries, (outer, inner): (usize, usize), weights: &Weights) -> Vec<Fr> {
    let n = weights.limbs.len();
    let block = |o: usize| values.slice(o * n * inner..(o + 1) * n * inner);
    let is_wide = outer >= 4 * rayon::current_num_threads();
    if inner == 1 {
        return contract_contiguous(outer, block, weights, is_wide);
    }
    let one = |o: usize| match block(o) {
        Entries::Integers(v) => combine_integers(&v.chunks(inner).collect::<Vec<_>>(), &weights.limbs, inner),
        Entries::Elements(v) => combine_elements(&v.chunks(inner).collect::<Vec<_>>(), &weights.elements, inner),
    };
    if is_wide {
        (0..outer).into_par_iter().flat_map_iter(one).collect()
    } else {
        (0..outer).flat_map(one).collect()
    }
}

fn contract_contiguous<'a>(outer: usize, block: impl Fn(usize) -> Entries<'a> + Sync, weights: &Weights, is_wide: bool) -> Vec<Fr> {
    let n = weights.limbs.len();
    if !is_wide {
        return (0..outer).map(|o| dot(weights, block(o))).collect();
    }
    let moved = compute_move(&weights.limbs);
    (0..outer)
        .into_par_iter()
        .with_min_len(GRAIN.div_ceil(n.max(1)))
        .map(|o| match block(o) {
            Entries::Integers(v) => Wide::default().add_all(&weights.limbs, v).reduce() - moved,
            elements => (0..n).map(|k| weights.elements[k] * elements.raw(k)).sum(),
        })
        .collect()
}

/// Σ weights[k]·rows[k] over `length` columns, raw; shorter rows count as padded with zeros.
pub fn combine_integers(rows: &[&[i64]], weights: &[Limbs], length: usize) -> Vec<Fr> {
    in_tiles(rows.len(), length, |range, from, to| {
        let mut sums = vec![Wide::default(); to - from];
        let mut buffer = vec![0i64; TILE * STRIDE];
        for start in range.clone().step_by(DEPTH) {
            let depth = DEPTH.min(range.end - start);
            for k in 0..depth {
                let row = rows[start + k];
                let part = &row[from.min(row.len())..to.min(row.len())];
                for column in 0..to - from {
                    buffer[column * STRIDE + k] = part.get(column).copied().unwrap_or(0);
                }
            }
            let weights = &weights[start..start + depth];
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add_all(weights, &buffer[column * STRIDE..column * STRIDE + depth]);
            }
        }
        let moved = compute_move(&weights[range]);
        sums.iter().map(|sum| sum.reduce() - moved).collect()
    })
}

/// The same over elements; weights are proper.
pub fn combine_elements(rows: &[&[Limbs]], weights: &[Fr], length: usize) -> Vec<Fr> {
    in_tiles(rows.len(), length, |range, from, to| {
        let mut sums = vec![Fr::ZERO; to - from];
        for k in range {
            for (sum, &limbs) in sums.iter_mut().zip(rows[k].iter().skip(from)) {
                *sum += weights[k] * raw(limbs);
            }
        }
        sums
    })
}

/// Cuts columns into tiles, and the rows into segments where the tiles alone would not keep all cores busy.
fn in_tiles(rows: usize, length: usize, work: impl Fn(std::ops::Range<usize>, usize, usize) -> Vec<Fr> + Sync) -> Vec<Fr> {
    let tiles = length.div_ceil(TILE).max(1);
    let segments = (4 * rayon::current_num_threads()).div_ceil(tiles).min(rows.div_ceil(4 * DEPTH)).max(1);
    let depth = rows.div_ceil(segments).max(1);
    let task = |number: usize| {
        let (tile, segment) = (number / segments, number % segments);
        let (from, to) = (tile * TILE, length.min((tile + 1) * TILE));
        work(segment * depth..rows.min((segment + 1) * depth).max(segment * depth), from, to)
    };
    let grain = GRAIN.div_ceil((TILE * depth).max(1));
    let parts: Vec<Vec<Fr>> = (0..tiles * segments).into_par_iter().with_min_len(grain).map(task).collect();
    parts.chunks(segments).flat_map(|of_tile| (0..of_tile[0].len()).map(move |i| of_tile.iter().map(|part| part[i]).sum::<Fr>())).collect()
}

/// Σ coefficient·chunk over `length` entries, as canonical limbs.
pub fn accumulate(coefficients: Vec<Fr>, chunks: &[Entries], length: usize) -> Vec<Limbs> {
    let weights = Weights::from_elements(coefficients);
    let (mut integers, mut elements) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for (k, chunk) in chunks.iter().enumerate() {
        match *chunk {
            Entries::Integers(v) => {
                integers.0.push(v);
                integers.1.push(weights.limbs[k]);
            }
            Entries::Elements(v) => {
                elements.0.push(v);
                elements.1.push(weights.elements[k]);
            }
        }
    }
    let small = combine_integers(&integers.0, &integers.1, length);
    let big = combine_elements(&elements.0, &elements.1, length);
    small.into_iter().zip(big).map(|(a, b)| raw_limbs(a + b)).collect()
}
