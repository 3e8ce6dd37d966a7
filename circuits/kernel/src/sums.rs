//! Σ weights[k]·rows[k], elementwise: where a prover meets every weight of a model, and every chunk of its vectors.
//!
//! Integers are accumulated unreduced (`wide`). What is here decides who works on what: tiles of columns, segments of rows, blocks.

use crate::field::{limbs, proper, raw, raw_limbs, Entries, Fr, Limbs};
use crate::wide::{Planes, Tile, BLOCK, COLUMNS, DEPTH};
use ark_ff::AdditiveGroup;
use rayon::prelude::*;

const GRAIN: usize = 1 << 14; // entries that are worth a task

/// Weights in both forms: canonical limbs for integers, proper elements for elements.
pub struct Weights {
    pub limbs: Vec<Limbs>,
    pub elements: Vec<Fr>,
}

impl Weights {
    pub fn new(limbs: Vec<Limbs>) -> Self {
        let elements = limbs.iter().map(|&l| proper(l)).collect();
        Self { limbs, elements }
    }

    pub fn from_elements(elements: Vec<Fr>) -> Self {
        let limbs = elements.iter().map(|&e| limbs(e)).collect();
        Self { limbs, elements }
    }
}

/// Σ weights·values, raw; both of one length.
pub fn dot(weights: &Weights, values: Entries) -> Fr {
    contract(values, (1, 1), weights)[0]
}

/// result[o·inner + i] = Σ_k weights[k]·values[(o·n + k)·inner + i], raw; values are outer·n·inner, all three at least 1.
pub fn contract(values: Entries, (outer, inner): (usize, usize), weights: &Weights) -> Vec<Fr> {
    let n = weights.limbs.len();
    let block = |o: usize| values.slice(o * n * inner..(o + 1) * n * inner);
    if inner == 1 {
        return contract_contiguous(values, outer, weights);
    }
    let one = |o: usize| match block(o) {
        Entries::Integers(v) => combine_integers(&v.chunks(inner).collect::<Vec<_>>(), &weights.limbs, inner),
        Entries::Elements(v) => combine_elements(&v.chunks(inner).collect::<Vec<_>>(), &weights.elements, inner),
    };
    if outer >= 4 * rayon::current_num_threads() {
        (0..outer).into_par_iter().flat_map_iter(one).collect()
    } else {
        (0..outer).flat_map(one).collect()
    }
}

/// `contract` for inner = 1: dot products of the weights with one row after another.
fn contract_contiguous(values: Entries, outer: usize, weights: &Weights) -> Vec<Fr> {
    let n = weights.limbs.len();
    let blocks = n.div_ceil(BLOCK);
    // Long rows are cut, so that one alone keeps all cores busy.
    let cut = if outer < 4 * rayon::current_num_threads() { blocks.div_ceil(GRAIN / BLOCK).max(1) } else { 1 };
    let depth = blocks.div_ceil(cut).max(1) * BLOCK;
    let planes = Planes::new(&weights.limbs);
    let task = |number: usize| {
        let (row, part) = (number / cut * n, number % cut);
        let (from, to) = (n.min(part * depth), n.min((part + 1) * depth));
        match values {
            Entries::Integers(v) => planes.dot(&weights.limbs, &v[row + from..row + to], from),
            Entries::Elements(v) => (from..to).map(|k| weights.elements[k] * raw(v[row + k])).sum::<Fr>(),
        }
    };
    let parts: Vec<Fr> = (0..outer * cut).into_par_iter().with_min_len(GRAIN.div_ceil(depth.min(n).max(1))).map(task).collect();
    parts.chunks(cut).map(|of_row| of_row.iter().sum()).collect()
}

/// Σ weights[k]·rows[k] over `length` columns, raw; shorter rows count as padded with zeros.
pub fn combine_integers(rows: &[&[i64]], weights: &[Limbs], length: usize) -> Vec<Fr> {
    in_tiles(rows.len(), length, |range, from, to| {
        let mut tile = Tile::new(from, to);
        for start in range.clone().step_by(DEPTH) {
            let end = range.end.min(start + DEPTH);
            tile.add(&rows[start..end], &weights[start..end]);
        }
        tile.reduce()
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
    let tiles = length.div_ceil(COLUMNS).max(1);
    let segments = (4 * rayon::current_num_threads()).div_ceil(tiles).min(rows.div_ceil(4 * DEPTH)).max(1);
    let depth = rows.div_ceil(segments).max(1);
    let task = |number: usize| {
        let (tile, segment) = (number / segments, number % segments);
        let (from, to) = (tile * COLUMNS, length.min((tile + 1) * COLUMNS));
        work(segment * depth..rows.min((segment + 1) * depth).max(segment * depth), from, to)
    };
    let grain = GRAIN.div_ceil((COLUMNS * depth).max(1));
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
