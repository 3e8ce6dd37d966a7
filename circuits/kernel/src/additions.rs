//! Sums of many pairs of points at once, in affine coordinates: the additions of a batch share one inversion (Montgomery's trick).

use crate::points::*;
use blst::blst_fp;

/// A point of a list, or its negative: twice its place, plus one if it is negated.
pub type Reference = u32;

/// Two points of one list, and the place of their sum in another.
pub type Pair = (Reference, Reference, u32);

const BATCH: usize = 512; // an inversion is 80 products: 3 ns for each of 512 additions, and the batch stays in the second cache

/// The point that is meant.
#[inline]
pub fn load(points: &[Affine], reference: Reference) -> Affine {
    let point = points[reference as usize >> 1];
    if reference & 1 == 0 {
        point
    } else {
        negate(&point)
    }
}

/// Pairs that wait until they are a batch.
#[derive(Default)]
pub struct Additions {
    pairs: Vec<Pair>,
    scratch: Scratch,
}

impl Additions {
    pub fn push(&mut self, pair: Pair, points: &[Affine], results: &mut [Affine]) {
        self.pairs.push(pair);
        if self.pairs.len() == BATCH {
            self.flush(points, results);
        }
    }

    pub fn flush(&mut self, points: &[Affine], results: &mut [Affine]) {
        if !self.pairs.is_empty() {
            add_pairs(&self.pairs, points, results, &mut self.scratch);
            self.pairs.clear();
        }
    }
}

/// Space of a batch, kept from one to the next.
#[derive(Default)]
struct Scratch {
    cases: Vec<Case>,
    denominators: Vec<blst_fp>,
    products: Vec<blst_fp>,
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Chord,
    Tangent,
    Left,
    Right,
    Infinity,
}

/// Writes every sum to its place, with five products and a square each. All cases are complete.
fn add_pairs(pairs: &[Pair], points: &[Affine], results: &mut [Affine], scratch: &mut Scratch) {
    const AHEAD: usize = 8; // points are asked of the memory that many pairs before they are read
    let (count, Scratch { cases, denominators, products }) = (pairs.len(), scratch);
    cases.clear();
    denominators.resize(count, ONE);
    products.resize(count + 1, ONE);
    products[0] = ONE;
    for (i, &(left, right, _)) in pairs.iter().enumerate() {
        if let Some(&(left, right, _)) = pairs.get(i + AHEAD) {
            prefetch(&points[left as usize >> 1]);
            prefetch(&points[right as usize >> 1]);
        }
        let case = classify(points, left, right);
        cases.push(case);
        write_denominator(&mut denominators[i], case, points, left, right);
        let (before, after) = products.split_at_mut(i + 1);
        mul(&mut after[0], &before[i], &denominators[i]);
    }
    let mut inverse = ONE;
    invert(&mut inverse, &products[count]);
    for (product, denominator) in products[..count].iter_mut().zip(denominators.iter()).rev() {
        mul_by(product, &inverse);
        mul_by(&mut inverse, denominator);
    }
    for ((&(left, right, place), &case), inverse) in pairs.iter().zip(cases.iter()).zip(products.iter()) {
        write_sum(&mut results[place as usize], case, points, (left, right), inverse);
    }
}

/// Its y, which is negated into `space` where it must be.
#[inline]
fn read_y<'a>(space: &'a mut blst_fp, points: &'a [Affine], reference: Reference) -> &'a blst_fp {
    let y = &points[reference as usize >> 1].y;
    if reference & 1 == 0 {
        return y;
    }
    negate_into(space, y);
    space
}

/// Asks the memory for both ends of a point: it lies in two lines.
#[inline]
pub fn prefetch(point: &Affine) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads nothing.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        let start = (point as *const Affine).cast::<i8>();
        _mm_prefetch(start, _MM_HINT_T0);
        _mm_prefetch(start.add(size_of::<Affine>() - 1), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = point;
}

#[inline]
fn classify(points: &[Affine], left: Reference, right: Reference) -> Case {
    let (p, q) = (&points[left as usize >> 1], &points[right as usize >> 1]);
    if p.x.l != q.x.l {
        match (is_infinity(p), is_infinity(q)) {
            (false, false) => Case::Chord,
            (true, _) => Case::Right,
            _ => Case::Left,
        }
    } else if load(points, left).y.l != load(points, right).y.l {
        if is_infinity(p) {
            Case::Right
        } else if is_infinity(q) {
            Case::Left
        } else {
            Case::Infinity
        }
    } else if is_infinity(p) {
        Case::Infinity
    } else {
        Case::Tangent
    }
}

/// What the slope is divided by, never zero: no point has y = 0, since the curve has odd order.
#[inline]
fn write_denominator(out: &mut blst_fp, case: Case, points: &[Affine], left: Reference, right: Reference) {
    match case {
        Case::Chord => sub(out, &points[right as usize >> 1].x, &points[left as usize >> 1].x),
        Case::Tangent => {
            let y = load(points, left).y;
            plus(out, &y, &y);
        }
        _ => *out = ONE,
    }
}

#[inline]
fn write_sum(out: &mut Affine, case: Case, points: &[Affine], (left, right): (Reference, Reference), inverse: &blst_fp) {
    let (p, q) = (&points[left as usize >> 1], &points[right as usize >> 1]);
    let mut space = [blst_fp::default(); 4];
    let [left_space, right_space, slope, term] = &mut space;
    let left_y = read_y(left_space, points, left);
    match case {
        Case::Chord => sub(term, read_y(right_space, points, right), left_y),
        Case::Tangent => {
            square(slope, &p.x);
            plus(right_space, slope, slope);
            plus(term, right_space, slope);
        }
        Case::Left => return *out = load(points, left),
        Case::Right => return *out = load(points, right),
        Case::Infinity => return *out = Affine::default(),
    }
    mul(slope, term, inverse);
    square(&mut out.x, slope);
    sub_by(&mut out.x, &p.x);
    sub_by(&mut out.x, &q.x);
    sub(term, &p.x, &out.x);
    mul(&mut out.y, slope, term);
    sub_by(&mut out.y, left_y);
}
