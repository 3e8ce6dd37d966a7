//! Sums of integers times weights of four limbs, unreduced.
//!
//! Integers below 2^24 in magnitude, moved up by 2^24, are unsigned; times half a limb of 32 bits they are below 2^57, and 2^7 of those
//! fit into a word. So a block of 128 rows needs eight products and additions an entry, four entries to a vector register (AVX2, asked for
//! at run time; the same code without it elsewhere). A block with a larger integer is done again with products of 64×64 bits, moved by 2^63.
//! The moves are taken back at the end, as 2^24 or 2^63 times the sum of the block's weights.

use crate::field::{raw, Fr, Limbs, TWO_192, TWO_24, TWO_384, TWO_63};
use ark_ff::AdditiveGroup;

pub const COLUMNS: usize = 32; // of a tile
pub const DEPTH: usize = 128; // rows of a block, and entries of a lane: not more, or the words overflow
pub const BLOCK: usize = DEPTH * LANES; // entries of a block that lie behind each other
const LANES: usize = 4;
const HALVES: usize = 8;
const SMALL_BITS: u32 = 24;
const TOP_BIT: u64 = 1 << 63;

type Halves = [u32; HALVES];
type Words = [[u64; LANES]; HALVES];

/// Four columns of 192 bits: column j counts 2^(64·j).
#[derive(Clone, Copy, Default)]
struct Wide {
    low: [u128; 4],
    high: [u64; 4],
}

impl Wide {
    #[inline(always)]
    fn add(&mut self, column: usize, value: u128) {
        let (sum, carry) = self.low[column].overflowing_add(value);
        self.low[column] = sum;
        self.high[column] += carry as u64;
    }

    /// Σ weight·(value + 2^63).
    fn add_large(&mut self, weights: &[Limbs], values: impl Iterator<Item = i64>) {
        for (weight, value) in weights.iter().zip(values) {
            for (column, &limb) in weight.iter().enumerate() {
                self.add(column, limb as u128 * (value as u64 ^ TOP_BIT) as u128);
            }
        }
    }

    /// Word h counts 2^(32·h).
    fn add_words(&mut self, words: impl Iterator<Item = u64>) {
        for (h, word) in words.enumerate() {
            self.add(h / 2, (word as u128) << (32 * (h % 2)));
        }
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

/// Σ weights, raw.
fn compute_sum(weights: &[Limbs]) -> Fr {
    weights.iter().map(|&w| raw(w)).sum()
}

fn split(weight: &Limbs) -> Halves {
    std::array::from_fn(|h| (weight[h / 2] >> (32 * (h % 2))) as u32)
}

/// Moved up by 2^24, and whether that makes it unsigned and small.
#[inline(always)]
fn move_up(value: i64) -> (u32, bool) {
    let moved = (value as u64).wrapping_add(1 << SMALL_BITS);
    (moved as u32, moved >> (SMALL_BITS + 1) == 0)
}

/// Up to 32 neighbouring columns of a sum of rows.
pub struct Tile {
    from: usize,
    sums: Vec<Wide>,
    moved: Fr,
    buffer: Vec<[u32; COLUMNS]>,
}

impl Tile {
    /// Columns from .. to.
    pub fn new(from: usize, to: usize) -> Self {
        Self { from, sums: vec![Wide::default(); to - from], moved: Fr::ZERO, buffer: vec![[0; COLUMNS]; DEPTH] }
    }

    /// Σ weights[k]·rows[k], for at most DEPTH rows; shorter rows count as padded with zeros.
    pub fn add(&mut self, rows: &[&[i64]], weights: &[Limbs]) {
        let width = self.sums.len();
        if self.fill(rows) {
            let halves: Vec<Halves> = weights.iter().map(split).collect();
            for (group, sums) in self.sums.chunks_mut(LANES).enumerate() {
                let words = multiply_columns(&self.buffer[..rows.len()], &halves, group * LANES);
                sums.iter_mut().enumerate().for_each(|(lane, sum)| sum.add_words(words.iter().map(|word| word[lane])));
            }
            self.moved += compute_sum(weights) * *TWO_24;
            return;
        }
        for column in 0..width {
            let values = rows.iter().map(|row| row.get(self.from + column).copied().unwrap_or(0));
            self.sums[column].add_large(weights, values);
        }
        self.moved += compute_sum(weights) * *TWO_63;
    }

    /// The sums, raw.
    pub fn write(&self, sums: &mut [Fr]) {
        sums.iter_mut().zip(&self.sums).for_each(|(out, sum)| *out = sum.reduce() - self.moved);
    }

    /// Copies the block, moved up, one row behind the other: rows far apart in memory share the sets of a cache. False for a large integer.
    fn fill(&mut self, rows: &[&[i64]]) -> bool {
        let width = self.sums.len();
        let mut is_small = true;
        for (row, copy) in rows.iter().zip(&mut self.buffer) {
            let part = &row[self.from.min(row.len())..(self.from + width).min(row.len())];
            for (copy, &value) in copy.iter_mut().zip(part) {
                let (moved, fits) = move_up(value);
                *copy = moved;
                is_small &= fits;
            }
            copy[part.len()..].fill(1 << SMALL_BITS); // zero, moved up
        }
        is_small
    }
}

/// The same weights, half a limb to a plane, for values that lie behind each other.
pub struct Planes {
    planes: Vec<[u32; HALVES * LANES]>, // four weights at a time: four times their lowest halves, four times the next ones, …
    sums: Vec<Fr>,                      // of each block
}

impl Planes {
    pub fn new(weights: &[Limbs]) -> Self {
        let quad = |four: &[Limbs]| {
            let mut plane = [0; HALVES * LANES];
            for (lane, weight) in four.iter().enumerate() {
                split(weight).iter().enumerate().for_each(|(h, &half)| plane[h * LANES + lane] = half);
            }
            plane
        };
        Self { planes: weights.chunks(LANES).map(quad).collect(), sums: weights.chunks(BLOCK).map(compute_sum).collect() }
    }

    /// Σ weights[from + k]·values[k], raw. `from` is a multiple of BLOCK, and so is the number of values unless they are the last.
    pub fn dot(&self, weights: &[Limbs], values: &[i64], from: usize) -> Fr {
        let (mut sum, mut moved) = (Wide::default(), Fr::ZERO);
        for (number, block) in values.chunks(BLOCK).enumerate() {
            let start = from + number * BLOCK;
            match multiply_planes(&self.planes[start / LANES..], block) {
                Some(words) => {
                    (0..LANES).for_each(|lane| sum.add_words(words.iter().map(|word| word[lane])));
                    moved += self.sums[start / BLOCK] * *TWO_24;
                }
                None => {
                    sum.add_large(&weights[start..start + block.len()], block.iter().copied());
                    moved += self.sums[start / BLOCK] * *TWO_63;
                }
            }
        }
        sum.reduce() - moved
    }
}

// ---- the two loops, compiled twice -----------------------------------------------------------------------------------------------------

#[inline(always)]
fn multiply_columns_anywhere(rows: &[[u32; COLUMNS]], weights: &[Halves], first: usize) -> Words {
    let mut words = Words::default();
    for (row, weight) in rows.iter().zip(weights) {
        let values: [u32; LANES] = row[first..first + LANES].try_into().expect("four lanes");
        for (word, &half) in words.iter_mut().zip(weight) {
            for lane in 0..LANES {
                word[lane] += values[lane] as u64 * half as u64;
            }
        }
    }
    words
}

/// None for a large integer.
#[inline(always)]
fn multiply_planes_anywhere(planes: &[[u32; HALVES * LANES]], values: &[i64]) -> Option<Words> {
    let (mut words, mut is_small) = (Words::default(), true);
    let (fours, rest) = values.as_chunks::<LANES>();
    let mut last = [-(1 << SMALL_BITS); LANES]; // zero when moved up
    last[..rest.len()].copy_from_slice(rest);
    for (four, plane) in fours.iter().chain((!rest.is_empty()).then_some(&last)).zip(planes) {
        let moved = four.map(move_up);
        is_small &= moved.iter().all(|&(_, fits)| fits);
        for (h, word) in words.iter_mut().enumerate() {
            for lane in 0..LANES {
                word[lane] += moved[lane].0 as u64 * plane[h * LANES + lane] as u64;
            }
        }
    }
    is_small.then_some(words)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn multiply_columns_avx2(rows: &[[u32; COLUMNS]], weights: &[Halves], first: usize) -> Words {
    multiply_columns_anywhere(rows, weights, first)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn multiply_planes_avx2(planes: &[[u32; HALVES * LANES]], values: &[i64]) -> Option<Words> {
    multiply_planes_anywhere(planes, values)
}

fn multiply_columns(rows: &[[u32; COLUMNS]], weights: &[Halves], first: usize) -> Words {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has it.
        return unsafe { multiply_columns_avx2(rows, weights, first) };
    }
    multiply_columns_anywhere(rows, weights, first)
}

fn multiply_planes(planes: &[[u32; HALVES * LANES]], values: &[i64]) -> Option<Words> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has it.
        return unsafe { multiply_planes_avx2(planes, values) };
    }
    multiply_planes_anywhere(planes, values)
}
