//! Σ v_i·P_i, for a fixed basis with precomputed multiples and for points met once.
//!
//! A scalar is cut into signed digits; points with the same digit fall into the same bucket, and the answer is Σ digit·bucket. For a fixed
//! basis [2^(13·k)]P_i are at hand, so that all digits of all scalars share one set of buckets and nothing is doubled. Points of a bucket
//! are added pairwise, all buckets at once, in affine coordinates. A sum over buckets goes through their square: with digit − 1 = 64·row +
//! column, only the sums of rows and of columns are weighted (two additions a bucket, in batches again). Sources: Pippenger; Brickell,
//! Gordon, McCurley, Wilson, "Fast exponentiation with precomputation".

use crate::field::{Entries, Limbs};
use crate::points::{
    add, add_affine, compute_multiples, double, encode, is_infinity, load, to_affine, Additions, Affine, Projective, Reference, POINT_BYTES,
};
use rayon::prelude::*;

const WINDOW_BITS: usize = 13; // 20 digits a full scalar: 82,000 additions for 4096 of them, and 8 MB of multiples
const WINDOWS: usize = 20; // 260 bits: the last digit is below 2^8 and takes a carry
const SCALAR_BITS: usize = 255;
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
        let mut digits = Vec::with_capacity(values.len());
        for i in 0..values.len() {
            let (limbs, is_negative) = split_sign(values, i);
            cut(&limbs, WINDOW_BITS, is_negative, |window, digit, is_subtracted| {
                digits.push((digit, 2 * (WINDOWS * i + window) as u32 + is_subtracted as u32));
            });
        }
        let buckets = Buckets::sort(&digits, 1 << (WINDOW_BITS - 1));
        encode(&to_affine(&buckets.sum_parts(&self.multiples, tasks)))
    }

    pub fn commit_many(&self, batch: &[Entries]) -> Vec<[u8; POINT_BYTES]> {
        let threads = rayon::current_num_threads();
        let tasks = if batch.len() >= 2 * threads { 1 } else { threads };
        batch.par_iter().with_max_len(1).map(|&values| self.commit(values, tasks)).collect()
    }
}

/// Σ scalar·point, for points that are met once: one set of buckets for each window, doublings between them.
pub fn combine(points: &[Affine], scalars: &[Limbs]) -> [u8; POINT_BYTES] {
    let bits = choose_window(points.len());
    let windows = SCALAR_BITS / bits + 1; // at least one bit above, for the last carry
    let mut digits = vec![Vec::with_capacity(points.len()); windows];
    for (i, scalar) in scalars.iter().enumerate() {
        cut(scalar, bits, false, |window, digit, is_subtracted| digits[window].push((digit, 2 * i as u32 + is_subtracted as u32)));
    }
    let sums: Vec<Projective> = digits.par_iter().map(|of_window| Buckets::sort(of_window, 1 << (bits - 1)).sum(points)).collect();
    let mut result = Projective::default();
    for sum in sums.iter().rev() {
        double(&mut result, bits);
        add(&mut result, sum);
    }
    encode(&to_affine(&result))
}

/// The width with the fewest additions: points and twice the buckets, in every window.
fn choose_window(count: usize) -> usize {
    let cost = |bits: usize| (SCALAR_BITS / bits + 1) * (count + (2 << (bits - 1)) + 64);
    (3..=14).min_by_key(|&bits| cost(bits)).expect("a range that is not empty")
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

/// References in the order of their digits: those of digit d are starts[d − 1] .. starts[d].
struct Buckets {
    references: Vec<Reference>,
    starts: Vec<u32>,
}

impl Buckets {
    fn sort(digits: &[(u32, Reference)], largest: usize) -> Self {
        let mut starts = vec![0u32; largest + 1];
        digits.iter().for_each(|&(digit, _)| starts[digit as usize] += 1);
        (1..=largest).for_each(|d| starts[d] += starts[d - 1]);
        let (mut next, mut references) = (starts.clone(), vec![0; digits.len()]);
        for &(digit, reference) in digits {
            let place = &mut next[digit as usize - 1];
            references[*place as usize] = reference;
            *place += 1;
        }
        Self { references, starts }
    }

    fn rows(&self) -> (usize, usize) {
        let buckets = self.starts.len() - 1;
        let width = 1 << (buckets.ilog2().div_ceil(2));
        (buckets / width, width)
    }

    /// Σ digit·bucket.
    fn sum(&self, points: &[Affine]) -> Projective {
        self.sum_rows(points, 0, self.rows().0)
    }

    /// The same in parts: whole rows, cut so that each part has about as many references.
    fn sum_parts(&self, points: &[Affine], tasks: usize) -> Projective {
        let (rows, width) = self.rows();
        let before = |row: usize| self.starts[row * width] as usize;
        let cuts: Vec<usize> = (0..=tasks)
            .map(|task| match task {
                0 => 0,
                _ if task == tasks => rows,
                _ => (0..rows).find(|&row| before(row) * tasks >= self.references.len() * task).unwrap_or(rows),
            })
            .collect();
        let parts: Vec<Projective> =
            cuts.par_windows(2).with_max_len(1).filter(|c| c[0] < c[1]).map(|c| self.sum_rows(points, c[0], c[1])).collect();
        let mut sum = Projective::default();
        parts.iter().for_each(|part| add(&mut sum, part));
        sum
    }

    fn sum_rows(&self, points: &[Affine], first: usize, last: usize) -> Projective {
        let (_, width) = self.rows();
        let starts = &self.starts[first * width..=last * width];
        let sums = sum_groups(points, &self.references[starts[0] as usize..starts[starts.len() - 1] as usize], starts);
        let live = |places: &mut dyn Iterator<Item = usize>| -> Vec<Reference> {
            places.filter(|&p| !is_infinity(&sums[p])).map(|p| 2 * p as u32).collect()
        };
        let count = last - first;
        let by_row: Vec<_> = (0..count).map(|row| live(&mut (row * width..(row + 1) * width))).collect();
        let by_column: Vec<_> = (0..width).map(|column| live(&mut (0..count).map(|row| row * width + column))).collect();
        let lines: Vec<Affine> = sum_lists(&sums, by_row.into_iter().chain(by_column));
        let mut total = weigh(&lines[..count], first);
        double(&mut total, width.ilog2() as usize);
        add(&mut total, &weigh(&lines[count..], 1));
        total
    }
}

/// Σ (first + j)·points[j].
fn weigh(points: &[Affine], first: usize) -> Projective {
    let (mut running, mut total) = (Projective::default(), Projective::default());
    for (j, point) in points.iter().enumerate().rev() {
        add_affine(&mut running, point);
        if j > 0 {
            add(&mut total, &running);
        }
    }
    // `total` is Σ j·points[j], `running` the plain sum, which counts `first` times.
    let mut multiple = Projective::default();
    for bit in (0..usize::BITS - first.leading_zeros()).rev() {
        double(&mut multiple, 1);
        if first >> bit & 1 == 1 {
            add(&mut multiple, &running);
        }
    }
    add(&mut total, &multiple);
    total
}

fn sum_lists(points: &[Affine], lists: impl Iterator<Item = Vec<Reference>>) -> Vec<Affine> {
    let (mut references, mut starts) = (Vec::new(), vec![0u32]);
    for list in lists {
        references.extend(list);
        starts.push(references.len() as u32);
    }
    sum_groups(points, &references, &starts)
}

/// The sum of every group; group g has the references starts[g] − starts[0] .. starts[g + 1] − starts[0]. Rounds of pairwise additions,
/// each over all groups at once, so that groups of a few points share the inversions too.
fn sum_groups(points: &[Affine], references: &[Reference], starts: &[u32]) -> Vec<Affine> {
    let mut starts: Vec<u32> = starts.iter().map(|start| start - starts[0]).collect();
    let (mut references, mut sums) = (references.to_vec(), Vec::new());
    let mut additions = Additions::default();
    loop {
        let points = if sums.is_empty() { points } else { &sums };
        let halves: Vec<u32> = starts.windows(2).map(|range| (range[1] - range[0]).div_ceil(2)).collect();
        let mut results = vec![Affine::default(); halves.iter().sum::<u32>() as usize];
        let mut place = 0;
        for range in starts.windows(2) {
            for pair in references[range[0] as usize..range[1] as usize].chunks(2) {
                match *pair {
                    [left, right] => additions.push((left, right, place), points, &mut results),
                    _ => results[place as usize] = load(points, pair[0]),
                }
                place += 1;
            }
        }
        additions.flush(points, &mut results);
        if halves.iter().all(|&half| half <= 1) {
            let mut rest = results.into_iter();
            return halves.iter().map(|&half| if half == 1 { rest.next() } else { None }.unwrap_or_default()).collect();
        }
        references = (0..place).map(|place| 2 * place).collect();
        (starts[0], sums) = (0, results);
        halves.iter().enumerate().for_each(|(g, half)| starts[g + 1] = starts[g] + half);
    }
}
