//! Σ weights[k]·rows[k], elementwise: where a prover meets every weight of a model, and every chunk of its vectors.
//!
//! Integers are accumulated unreduced (`wide`). What is here decides who works on what: tiles of columns, segments of rows, blocks.

use crate::field::{limbs, proper, raw, raw_integer, Entries, Fr, Limbs};
use crate::tasks;
use crate::wide::{Planes, Tile, BLOCK, COLUMNS, DEPTH};
use ark_ff::AdditiveGroup;
use rayon::prelude::*;

const GRAIN: usize = 1 << 14; // entries that are worth a task
const FEW: usize = 4; // rows whose entries are multiplied one by one faster than a tile is reduced

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
    let parts = tasks::map(outer * cut, GRAIN.div_ceil(depth.min(n).max(1)), task);
    parts.chunks(cut).map(|of_row| of_row.iter().sum()).collect()
}

/// Σ weights[k]·rows[k] over `length` columns, raw; shorter rows count as padded with zeros.
pub fn combine_integers(rows: &[&[i64]], weights: &[Limbs], length: usize) -> Vec<Fr> {
    if rows.len() <= FEW {
        let weights: Vec<Fr> = weights.iter().map(|&weight| proper(weight)).collect();
        return combine_each(rows, &weights, length, raw_integer);
    }
    in_tiles(rows.len(), length, |range, from, sums| {
        let mut tile = Tile::new(from, from + sums.len());
        for start in range.clone().step_by(DEPTH) {
            let end = range.end.min(start + DEPTH);
            tile.add(&rows[start..end], &weights[start..end]);
        }
        tile.write(sums);
    })
}

/// The same over elements; weights are proper.
pub fn combine_elements(rows: &[&[Limbs]], weights: &[Fr], length: usize) -> Vec<Fr> {
    combine_each(rows, weights, length, raw)
}

/// One product an entry.
fn combine_each<T: Copy + Sync>(rows: &[&[T]], weights: &[Fr], length: usize, read: impl Fn(T) -> Fr + Sync + Send) -> Vec<Fr> {
    in_tiles(rows.len(), length, |range, from, sums| {
        for k in range {
            for (sum, &value) in sums.iter_mut().zip(rows[k].iter().skip(from)) {
                *sum += weights[k] * read(value);
            }
        }
    })
}

/// Cuts columns into tiles, and the rows into segments where the tiles alone would not keep all cores busy. `add` gets rows, the first
/// column, and the zeros to which it adds.
fn in_tiles(rows: usize, length: usize, add: impl Fn(std::ops::Range<usize>, usize, &mut [Fr]) + Sync + Send) -> Vec<Fr> {
    let tiles = length.div_ceil(COLUMNS).max(1);
    let segments = (4 * rayon::current_num_threads()).div_ceil(tiles).min(rows.div_ceil(4 * DEPTH)).max(1);
    let (depth, width) = (rows.div_ceil(segments).max(1), tiles * COLUMNS);
    let mut sums = vec![Fr::ZERO; segments * width];
    tasks::fill(&mut sums, COLUMNS, GRAIN.div_ceil(depth), |number, sums| {
        let (segment, from) = (number / tiles, number % tiles * COLUMNS);
        let columns = length.saturating_sub(from).min(COLUMNS);
        add((segment * depth).min(rows)..rows.min((segment + 1) * depth), from, &mut sums[..columns]);
    });
    let (first, others) = sums.split_at_mut(width);
    for other in others.chunks(width) {
        first.iter_mut().zip(other).for_each(|(a, b)| *a += b);
    }
    sums.truncate(length);
    sums
}

/// Σ coefficient·chunk over `length` entries, raw.
pub fn accumulate(coefficients: &[Fr], chunks: &[Entries], length: usize) -> Vec<Fr> {
    let (mut integers, mut elements) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for (&coefficient, chunk) in coefficients.iter().zip(chunks) {
        match *chunk {
            Entries::Integers(v) => {
                integers.0.push(v);
                integers.1.push(limbs(coefficient));
            }
            Entries::Elements(v) => {
                elements.0.push(v);
                elements.1.push(coefficient);
            }
        }
    }
    let mut sums = combine_integers(&integers.0, &integers.1, length);
    if !elements.0.is_empty() {
        sums.iter_mut().zip(combine_elements(&elements.0, &elements.1, length)).for_each(|(a, b)| *a += b);
    }
    sums
}
