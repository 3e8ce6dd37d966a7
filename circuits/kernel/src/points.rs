//! G1 of BLS12-381: the two encodings of a point, and additions of many pairs of points that share one inversion.
//!
//! Every call into blst is here, behind functions that are safe for all values of their types. blst's fields are plain words; any words
//! are memory-safe, and points made here are on the curve.

use blst::*;
use std::ptr::null_mut;

pub const POINT_BYTES: usize = 96;
pub const COMPRESSED_BYTES: usize = 48;
const FLAGS: u8 = 0xe0; // the top bits of x, which is below 2^381

pub type Affine = blst_p1_affine; // infinity is (0, 0), as for blst
pub type Projective = blst_p1; // Jacobian; infinity has z = 0

/// A point on the curve from x ‖ y, infinity all zero; the subgroup is not looked at.
pub fn decode(bytes: &[u8]) -> Result<Affine, String> {
    if bytes.len() != POINT_BYTES {
        return Err(format!("a point of {} bytes, expected {POINT_BYTES}", bytes.len()));
    }
    let mut point = Affine::default();
    if bytes.iter().all(|&b| b == 0) {
        return Ok(point);
    }
    let is_flagged = bytes[0] & FLAGS != 0;
    // SAFETY: 96 readable bytes.
    if is_flagged || unsafe { blst_p1_deserialize(&mut point, bytes.as_ptr()) } != BLST_ERROR::BLST_SUCCESS {
        return Err("a point that is not the only encoding of one on the curve".into());
    }
    Ok(point)
}

pub fn encode(point: &Affine) -> [u8; POINT_BYTES] {
    let mut bytes = [0; POINT_BYTES];
    if !is_infinity(point) {
        // SAFETY: 96 writable bytes.
        unsafe { blst_p1_affine_serialize(bytes.as_mut_ptr(), point) };
    }
    bytes
}

pub fn compress(point: &Affine) -> [u8; COMPRESSED_BYTES] {
    let mut bytes = [0; COMPRESSED_BYTES];
    // SAFETY: 48 writable bytes.
    unsafe { blst_p1_affine_compress(bytes.as_mut_ptr(), point) };
    bytes
}

/// A point on the curve from its compressed encoding; the subgroup is not looked at.
pub fn decompress(bytes: &[u8]) -> Result<Affine, String> {
    if bytes.len() != COMPRESSED_BYTES {
        return Err(format!("a compressed point of {} bytes, expected {COMPRESSED_BYTES}", bytes.len()));
    }
    let mut point = Affine::default();
    // SAFETY: 48 readable bytes.
    if unsafe { blst_p1_uncompress(&mut point, bytes.as_ptr()) } != BLST_ERROR::BLST_SUCCESS || compress(&point) != bytes {
        return Err("a compressed point that is not the only encoding of one on the curve".into());
    }
    Ok(point)
}

pub fn is_in_subgroup(point: &Affine) -> bool {
    // SAFETY: the point is on the curve.
    unsafe { blst_p1_affine_in_g1(point) }
}

#[inline]
pub fn is_infinity(point: &Affine) -> bool {
    point.x.l == [0; 6] && point.y.l == [0; 6]
}

pub fn to_affine(point: &Projective) -> Affine {
    let mut affine = Affine::default();
    // SAFETY: plain values; infinity becomes (0, 0).
    unsafe { blst_p1_to_affine(&mut affine, point) };
    affine
}

pub fn to_projective(point: &Affine) -> Projective {
    let mut projective = Projective::default();
    // SAFETY: plain values.
    unsafe { blst_p1_from_affine(&mut projective, point) };
    projective
}

pub fn double(point: &mut Projective, times: usize) {
    for _ in 0..times {
        // SAFETY: blst reads its operands before it writes the result.
        unsafe { blst_p1_double(point, point) };
    }
}

pub fn add(sum: &mut Projective, point: &Projective) {
    // SAFETY: as above.
    unsafe { blst_p1_add_or_double(sum, sum, point) };
}

pub fn add_affine(sum: &mut Projective, point: &Affine) {
    // SAFETY: as above.
    unsafe { blst_p1_add_or_double_affine(sum, sum, point) };
}

/// [2^(step·k)]point for k < count.
pub fn compute_multiples(point: &Affine, step: usize, count: usize) -> Vec<Affine> {
    if is_infinity(point) {
        return vec![*point; count];
    }
    let mut last = to_projective(point);
    let mut multiples = vec![last];
    for _ in 1..count {
        double(&mut last, step);
        multiples.push(last);
    }
    let mut affine = vec![Affine::default(); count];
    let pointers: [*const Projective; 2] = [multiples.as_ptr(), null_mut()]; // a null pointer: "the next one behind"
                                                                             // SAFETY: `count` points in a row; none is infinity, as the curve has no points of even order.
    unsafe { blst_p1s_to_affine(affine.as_mut_ptr(), pointers.as_ptr(), count) };
    affine
}

/// A point of a list, or its negative: twice its place, plus one if it is negated.
pub type Reference = u32;

/// Pairs of points of one list waiting to be added, and the places of their sums in another.
#[derive(Default)]
pub struct Additions {
    pairs: Vec<(Reference, Reference, u32)>,
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

impl Additions {
    const BATCH: usize = 512; // an inversion is 80 products: 3 ns for each of 512 additions, and the batch stays in the second cache
    const AHEAD: usize = 8; // points are asked of the memory that many pairs before they are read

    /// Adds a pair, and all that are waiting when they are many.
    pub fn push(&mut self, pair: (Reference, Reference, u32), points: &[Affine], results: &mut [Affine]) {
        self.pairs.push(pair);
        if self.pairs.len() == Self::BATCH {
            self.flush(points, results);
        }
    }

    /// Writes every sum to its place: five products and a square each (affine, Montgomery's trick). All cases are complete.
    pub fn flush(&mut self, points: &[Affine], results: &mut [Affine]) {
        let count = self.pairs.len();
        self.cases.clear();
        self.denominators.resize(count, ONE);
        self.products.resize(count + 1, ONE);
        self.products[0] = ONE;
        for (i, &(left, right, _)) in self.pairs.iter().enumerate() {
            if let Some(&(left, right, _)) = self.pairs.get(i + Self::AHEAD) {
                prefetch(&points[left as usize >> 1]);
                prefetch(&points[right as usize >> 1]);
            }
            let case = classify(points, left, right);
            self.cases.push(case);
            write_denominator(&mut self.denominators[i], case, points, left, right);
            let (before, after) = self.products.split_at_mut(i + 1);
            mul(&mut after[0], &before[i], &self.denominators[i]);
        }
        let mut inverse = ONE;
        invert(&mut inverse, &self.products[count]);
        for (product, denominator) in self.products[..count].iter_mut().zip(&self.denominators).rev() {
            mul_by(product, &inverse);
            mul_by(&mut inverse, denominator);
        }
        for ((&(left, right, place), &case), inverse) in self.pairs.iter().zip(&self.cases).zip(&self.products) {
            write_sum(&mut results[place as usize], case, points, (left, right), inverse);
        }
        self.pairs.clear();
    }
}

/// The point that is meant.
#[inline]
pub fn load(points: &[Affine], reference: Reference) -> Affine {
    let mut point = points[reference as usize >> 1];
    point.y = *read_y(&mut blst_fp::default(), points, reference);
    point
}

/// Its y, which is negated into `space` where it must be.
#[inline]
fn read_y<'a>(space: &'a mut blst_fp, points: &'a [Affine], reference: Reference) -> &'a blst_fp {
    let y = &points[reference as usize >> 1].y;
    if reference & 1 == 0 {
        return y;
    }
    // SAFETY: plain values.
    unsafe { blst_fp_cneg(space, y, true) };
    space
}

#[inline]
fn prefetch(point: &Affine) {
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

/// 1 in Montgomery form, 2^384 mod p.
const ONE: blst_fp =
    blst_fp { l: [0x760900000002fffd, 0xebf4000bc40c0002, 0x5f48985753c758ba, 0x77ce585370525745, 0x5c071a97a256ec6d, 0x15f65ec3fa80e493] };

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

// Results go where they belong at once. blst stores them in words of 8 bytes, and a copy made right after, in words of 16, would wait for
// those stores to leave the core: returning results by value cost a quarter of a commitment.

#[inline]
fn mul(out: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    // SAFETY: plain values, here and below; blst reads its operands before it writes, so that one of them may be the result.
    unsafe { blst_fp_mul(out, a, b) }
}

#[inline]
fn mul_by(a: &mut blst_fp, b: &blst_fp) {
    let a: *mut blst_fp = a;
    unsafe { blst_fp_mul(a, a, b) }
}

#[inline]
fn square(out: &mut blst_fp, a: &blst_fp) {
    unsafe { blst_fp_sqr(out, a) }
}

#[inline]
fn plus(out: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    unsafe { blst_fp_add(out, a, b) }
}

#[inline]
fn sub(out: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    unsafe { blst_fp_sub(out, a, b) }
}

#[inline]
fn sub_by(a: &mut blst_fp, b: &blst_fp) {
    let a: *mut blst_fp = a;
    unsafe { blst_fp_sub(a, a, b) }
}

fn invert(out: &mut blst_fp, a: &blst_fp) {
    unsafe { blst_fp_eucl_inverse(out, a) }
}
