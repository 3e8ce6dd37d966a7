//! Σ v_i·P_i, for a fixed basis with precomputed multiples and for points met once.
//!
//! A scalar is cut into signed digits; points with the same digit fall into the same bucket, and the answer is Σ digit·bucket. For a fixed
//! basis [2^(13·k)]P_i are at hand, so that all digits of all scalars share one set of buckets and nothing is doubled. Points of a bucket
//! are added pairwise, all buckets at once, in affine coordinates. A sum over buckets goes through their square: with digit − 1 = 64·row +
//! column, only the sums of rows and of columns are weighted, and they by the bits of their weights: the sum of the lines whose weight has
//! bit b counts 2^b. Sources: Pippenger; Brickell, Gordon, McCurley, Wilson, "Fast exponentiation with precomputation".

use crate::additions::{load, prefetch, Additions, Reference};
use crate::field::{Entries, Limbs};
use crate::points::{add, add_affine, compute_multiples, double, encode, is_infinity, to_affine, Affine, Projective, POINT_BYTES};
use rayon::prelude::*;
use std::collections::HashMap;

const WINDOW_BITS: usize = 13; // 20 digits a full scalar: 82,000 additions for 4096 of them, and 10 MB of multiples
const WINDOWS: usize = 20; // 260 bits: the last digit is below 2^8 and takes a carry
const SCALAR_BITS: usize = 255;
const ONE_ROW_BITS: usize = 5; // up to 32 buckets are not worth rows and columns
const ROWS_AT_ONCE: usize = 8; // 512 buckets and half a megabyte of sums, for a full chunk of full scalars
const REPEATS: u32 = 256; // the multiplication costs about as much as 4000 additions of a batch
const GRAIN: usize = 2048; // references that are worth a task
const AHEAD: usize = 4; // groups
const MAX_POINTS: usize = 1 << 24; // places are 32 bits

pub struct Powers {
    count: usize,
    multiples: Vec<Affine>, // [2^(13·k)]P_i at WINDOWS·i + k
}

impl Powers {
    /// None for more points than places can name.
    pub fn new(points: &[Affine]) -> Option<Self> {
        let multiples = |point| compute_multiples(point, WINDOW_BITS, WINDOWS);
        (points.len() < MAX_POINTS).then(|| Self { count: points.len(), multiples: points.par_iter().flat_map_iter(multiples).collect() })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// At most `count` values; in `tasks` parts of about one size.
    pub fn commit(&self, values: Entries, tasks: usize) -> [u8; POINT_BYTES] {
        encode(&to_affine(&sum_multiples(&self.multiples, values, tasks)))
    }

    pub fn commit_many(&self, batch: &[Entries]) -> Vec<[u8; POINT_BYTES]> {
        let threads = rayon::current_num_threads();
        let tasks = if batch.len() >= 2 * threads { 1 } else { threads };
        batch.par_iter().with_max_len(1).map(|&values| self.commit(values, tasks)).collect()
    }
}

/// Σ v_i·P_i. A scalar that many entries have multiplies the sum of their points, one addition for each instead of one for each digit.
fn sum_multiples(multiples: &[Affine], values: Entries, tasks: usize) -> Projective {
    let common = find_common(values);
    let mut digits = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        let (limbs, is_negative) = split_sign(values, i);
        if common.iter().any(|(scalar, _)| *scalar == limbs) {
            continue;
        }
        cut(&limbs, WINDOW_BITS, is_negative, |window, digit, is_subtracted| {
            digits.push((digit, 2 * (WINDOWS * i + window) as u32 + is_subtracted as u32));
        });
    }
    let mut total = Buckets::sort(&digits, WINDOW_BITS, 1).sum(multiples, tasks);
    if !common.is_empty() {
        let sum = |places: &[Reference]| sum_groups(multiples, places, &[0, places.len() as u32])[0];
        let (scalars, sums): (Vec<Limbs>, Vec<Affine>) = common.iter().map(|(scalar, places)| (scalar, sum(places))).unzip();
        add(&mut total, &sum_points(&sums, &scalars));
    }
    total
}

/// The long scalars that at least REPEATS entries have, and the points they multiply: entries are counted by a hash, and compared where many
/// have the same.
fn find_common(values: Entries) -> Vec<(Limbs, Vec<Reference>)> {
    let Entries::Elements(elements) = values else {
        return Vec::new(); // integers have a digit or two
    };
    const HASHES: usize = 1 << 10;
    let hash = |limbs: &Limbs| (limbs[0] ^ limbs[1].rotate_left(32)) as usize % HASHES;
    let mut counts = [0u32; HASHES];
    elements.iter().for_each(|limbs| counts[hash(limbs)] += 1);
    let mut places = HashMap::<Limbs, Vec<Reference>>::new();
    for (i, limbs) in elements.iter().enumerate().filter(|(_, limbs)| counts[hash(limbs)] >= REPEATS && limbs[1..] != [0; 3]) {
        places.entry(*limbs).or_default().push(2 * (WINDOWS * i) as Reference);
    }
    places.retain(|_, of_scalar| of_scalar.len() >= REPEATS as usize);
    places.into_iter().collect()
}

/// Σ scalar·point, for points that are met once.
pub fn combine(points: &[Affine], scalars: &[Limbs]) -> [u8; POINT_BYTES] {
    encode(&to_affine(&sum_points(points, scalars)))
}

/// A set of buckets for each window.
fn sum_points(points: &[Affine], scalars: &[Limbs]) -> Projective {
    let bits = choose_window(points.len());
    let mut digits = Vec::with_capacity(points.len() * (SCALAR_BITS / bits + 1));
    for (i, scalar) in scalars.iter().enumerate() {
        cut(scalar, bits, false, |window, digit, is_subtracted| {
            digits.push(((window << (bits - 1)) as u32 + digit, 2 * i as u32 + is_subtracted as u32));
        });
    }
    let buckets = Buckets::sort(&digits, bits, SCALAR_BITS / bits + 1); // at least one bit above, for the last carry
    buckets.sum(points, rayon::current_num_threads())
}

/// The width with the fewest additions: points, and about three for a bucket, in every window.
fn choose_window(count: usize) -> usize {
    let cost = |bits: usize| (SCALAR_BITS / bits + 1) * (count + 3 * count.min(1 << (bits - 1)) + (1 << (bits - 1)) / 4 + 4);
    (3..=13).min_by_key(|&bits| cost(bits)).expect("a range that is not empty")
}

fn split_sign(values: Entries, i: usize) -> (Limbs, bool) {
    match values {
        Entries::Elements(elements) => (elements[i], false),
        Entries::Integers(integers) => ([integers[i].unsigned_abs(), 0, 0, 0], integers[i] < 0),
    }
}

/// Digits of `bits` bits in (−2^(bits−1), 2^(bits−1)], without the zeros: window, magnitude, and whether it is subtracted.
fn cut(limbs: &Limbs, bits: usize, is_negative: bool, mut take: impl FnMut(usize, u32, bool)) {
    let length = 256 - (0..4).rev().find(|&i| limbs[i] != 0).map_or(256, |i| 64 * (3 - i) + limbs[i].leading_zeros() as usize);
    let (mut carry, mut window) = (0, 0);
    while window * bits < length || carry != 0 {
        let digit = read_bits(limbs, window * bits, bits) + carry;
        carry = (digit > 1 << (bits - 1)) as u32;
        let magnitude = if carry != 0 { (1 << bits) - digit } else { digit };
        if magnitude != 0 {
            take(window, magnitude, is_negative ^ (carry != 0));
        }
        window += 1;
    }
}

fn read_bits(limbs: &Limbs, from: usize, count: usize) -> u32 {
    let (limb, shift) = (from / 64, from % 64);
    let low = limbs.get(limb).map_or(0, |l| l >> shift);
    let high = if shift + count > 64 { limbs.get(limb + 1).map_or(0, |l| l << (64 - shift)) } else { 0 };
    (low | high) as u32 & ((1 << count) - 1)
}

/// References in the order of their buckets: those of bucket b are starts[b] .. starts[b + 1]. Bucket `number` of a window counts
/// number + 1, and all of window w count 2^(bits·w).
struct Buckets {
    references: Vec<Reference>,
    starts: Vec<u32>,
    bits: usize,
}

impl Buckets {
    /// From (window·2^(bits−1) + digit, reference).
    fn sort(digits: &[(u32, Reference)], bits: usize, windows: usize) -> Self {
        let count = windows << (bits - 1);
        let mut starts = vec![0u32; count + 1];
        digits.iter().for_each(|&(digit, _)| starts[digit as usize] += 1);
        (1..=count).for_each(|b| starts[b] += starts[b - 1]);
        let (mut next, mut references) = (starts.clone(), vec![0; digits.len()]);
        for &(digit, reference) in digits {
            let place = &mut next[digit as usize - 1];
            references[*place as usize] = reference;
            *place += 1;
        }
        Self { references, starts, bits }
    }

    /// The buckets of a row: a power of two, and all of a window if they are few.
    fn width(&self) -> usize {
        let bits = self.bits - 1;
        1 << if bits <= ONE_ROW_BITS { bits } else { bits.div_ceil(2) }
    }

    /// Σ weight·bucket, in at most `tasks` parts: whole rows, cut so that each part has about as many references.
    fn sum(&self, points: &[Affine], tasks: usize) -> Projective {
        let rows = (self.starts.len() - 1) / self.width();
        let tasks = tasks.min(self.references.len() / GRAIN);
        if tasks <= 1 {
            return self.sum_rows(points, 0, rows);
        }
        let find_cut = |task: usize| {
            let before = |row: usize| self.starts[row * self.width()] as usize;
            (0..rows).find(|&row| before(row) * tasks >= self.references.len() * task).unwrap_or(rows)
        };
        let mut cuts: Vec<usize> = (0..tasks).map(find_cut).collect();
        cuts.push(rows);
        let parts: Vec<Projective> =
            cuts.par_windows(2).with_max_len(1).filter(|c| c[0] < c[1]).map(|c| self.sum_rows(points, c[0], c[1])).collect();
        let mut sum = Projective::default();
        parts.iter().for_each(|part| add(&mut sum, part));
        sum
    }

    fn sum_rows(&self, points: &[Affine], first: usize, last: usize) -> Projective {
        if self.references.is_empty() {
            return Projective::default();
        }
        let (width, bits) = (self.width(), self.bits);
        let of_window = (1 << (bits - 1)) / width; // rows
                                                   // Few rows at a time: their sums then stay in the cache from one round of additions to the next.
        let few = |from: usize| {
            let starts = &self.starts[from * width..=last.min(from + ROWS_AT_ONCE) * width];
            sum_groups(points, &self.references[starts[0] as usize..starts[starts.len() - 1] as usize], starts)
        };
        let sums: Vec<Affine> = (first..last).step_by(ROWS_AT_ONCE).flat_map(few).collect();
        let windows = first / of_window..last.div_ceil(of_window);
        let (mut lines, mut weights) = (Lists::default(), Vec::new());
        for window in windows.clone() {
            let rows = first.max(window * of_window)..last.min((window + 1) * of_window);
            let mut of_lines = Vec::new();
            for row in rows.clone().filter(|row| row % of_window > 0) {
                of_lines.push(row % of_window * width);
                lines.push(&sums, (0..width).map(|column| (row - first) * width + column));
            }
            for column in 0..width {
                of_lines.push(column + 1);
                lines.push(&sums, rows.clone().map(|row| (row - first) * width + column));
            }
            weights.push(of_lines);
        }
        let (sums, mut positions, mut line) = (lines.sum(&sums), Lists::default(), 0);
        for of_lines in weights {
            for bit in 0..bits {
                positions.push(&sums, (0..of_lines.len()).filter(|&i| of_lines[i] >> bit & 1 == 1).map(|i| line + i));
            }
            line += of_lines.len();
        }
        let mut total = Projective::default();
        for sum in positions.sum(&sums).iter().rev() {
            double(&mut total, 1);
            add_affine(&mut total, sum);
        }
        double(&mut total, bits * windows.start);
        total
    }
}

/// Groups of points of a list.
struct Lists {
    references: Vec<Reference>,
    starts: Vec<u32>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { references: Vec::new(), starts: vec![0] }
    }
}

impl Lists {
    /// One more group, without infinity.
    fn push(&mut self, points: &[Affine], places: impl Iterator<Item = usize>) {
        self.references.extend(places.filter(|&place| !is_infinity(&points[place])).map(|place| 2 * place as Reference));
        self.starts.push(self.references.len() as u32);
    }

    fn sum(&self, points: &[Affine]) -> Vec<Affine> {
        sum_groups(points, &self.references, &self.starts)
    }
}

/// The sum of every group; group g has the references starts[g] − starts[0] .. starts[g + 1] − starts[0]. Rounds of pairwise additions,
/// each over all groups at once, so that groups of a few points share the inversions too.
fn sum_groups(points: &[Affine], references: &[Reference], starts: &[u32]) -> Vec<Affine> {
    let mut totals = vec![Affine::default(); starts.len() - 1];
    let mut live = Vec::new(); // groups that are not one point yet: number, first place, count
    for (g, range) in starts.windows(2).enumerate() {
        match range[1] - range[0] {
            0 => {}
            1 => totals[g] = load(points, references[(range[0] - starts[0]) as usize]),
            count => live.push((g, range[0] - starts[0], count)),
        }
    }
    let (mut sums, mut additions) = (Vec::new(), Additions::default());
    while !live.is_empty() {
        let is_first = sums.is_empty();
        let (points, at) =
            (if is_first { points } else { &sums }, |place: u32| if is_first { references[place as usize] } else { 2 * place });
        let mut results = vec![Affine::default(); live.iter().map(|&(_, _, count)| count.div_ceil(2) as usize).sum()];
        let mut place = 0;
        for next in 0..live.len() {
            // The odd one out of a group, which no batch asks of the memory ahead of time.
            if let Some(&(_, first, count)) = live.get(next + AHEAD).filter(|_| is_first) {
                prefetch(&points[at(first + count - 1) as usize >> 1]);
            }
            let (_, first, count) = &mut live[next];
            let from = std::mem::replace(first, place);
            for left in (from..from + *count - 1).step_by(2) {
                additions.push((at(left), at(left + 1), place), points, &mut results);
                place += 1;
            }
            if *count % 2 == 1 {
                results[place as usize] = load(points, at(from + *count - 1));
                place += 1;
            }
            *count = count.div_ceil(2);
        }
        additions.flush(points, &mut results);
        live.retain(|&(g, first, count)| {
            if count == 1 {
                totals[g] = results[first as usize];
            }
            count > 1
        });
        sums = results;
    }
    totals
}
