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

/// The point, or its negative.
#[inline]
pub fn with_sign(mut point: Affine, is_negative: bool) -> Affine {
    let y = point.y;
    // SAFETY: the pointers are to fields of ours, and may be equal or not.
    unsafe { blst_fp_cneg(&mut point.y, &y, is_negative) };
    point
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

/// Pairs of points waiting to be added, and the places of their sums.
#[derive(Default)]
pub struct Additions {
    pairs: Vec<(Affine, Affine)>,
    places: Vec<u32>,
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
    pub const BATCH: usize = 512; // an inversion is 80 products: 3 ns for each of 512 additions, and the batch stays in the second cache

    pub fn push(&mut self, left: Affine, right: Affine, place: u32) {
        self.pairs.push((left, right));
        self.places.push(place);
    }

    pub fn is_full(&self) -> bool {
        self.pairs.len() >= Self::BATCH
    }

    /// Writes every sum to its place: five products and a square each (affine, Montgomery's trick). All cases are complete.
    pub fn flush(&mut self, results: &mut [Affine]) {
        let mut product = ONE;
        self.denominators.clear();
        self.products.clear();
        for (left, right) in &self.pairs {
            let denominator = denominator(classify(left, right), left, right);
            self.products.push(product);
            product = mul(&product, &denominator);
            self.denominators.push(denominator);
        }
        let mut inverse = blst_fp::default();
        // SAFETY: plain values.
        unsafe { blst_fp_eucl_inverse(&mut inverse, &product) };
        for i in (0..self.pairs.len()).rev() {
            self.products[i] = mul(&self.products[i], &inverse);
            inverse = mul(&inverse, &self.denominators[i]);
        }
        for (i, (left, right)) in self.pairs.iter().enumerate() {
            results[self.places[i] as usize] = add_with_inverse(left, right, &self.products[i]);
        }
        self.pairs.clear();
        self.places.clear();
    }
}

/// 1 in Montgomery form, 2^384 mod p.
const ONE: blst_fp =
    blst_fp { l: [0x760900000002fffd, 0xebf4000bc40c0002, 0x5f48985753c758ba, 0x77ce585370525745, 0x5c071a97a256ec6d, 0x15f65ec3fa80e493] };

#[inline]
fn classify(left: &Affine, right: &Affine) -> Case {
    if is_infinity(left) {
        Case::Right
    } else if is_infinity(right) {
        Case::Left
    } else if left.x.l != right.x.l {
        Case::Chord
    } else if left.y.l == right.y.l {
        Case::Tangent
    } else {
        Case::Infinity
    }
}

/// What the slope is divided by, never zero: no point has y = 0, since the curve has odd order.
#[inline]
fn denominator(case: Case, left: &Affine, right: &Affine) -> blst_fp {
    match case {
        Case::Chord => sub(&right.x, &left.x),
        Case::Tangent => plus(&left.y, &left.y),
        _ => ONE,
    }
}

#[inline]
fn add_with_inverse(left: &Affine, right: &Affine, inverse: &blst_fp) -> Affine {
    let numerator = match classify(left, right) {
        Case::Chord => sub(&right.y, &left.y),
        Case::Tangent => {
            let square = mul(&left.x, &left.x);
            plus(&plus(&square, &square), &square)
        }
        Case::Left => return *left,
        Case::Right => return *right,
        Case::Infinity => return Affine::default(),
    };
    let slope = mul(&numerator, inverse);
    let x = sub(&sub(&square(&slope), &left.x), &right.x);
    let y = sub(&mul(&slope, &sub(&left.x, &x)), &left.y);
    Affine { x, y }
}

#[inline]
fn mul(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = blst_fp::default();
    // SAFETY: plain values, as in the three functions below.
    unsafe { blst_fp_mul(&mut result, a, b) };
    result
}

#[inline]
fn square(a: &blst_fp) -> blst_fp {
    let mut result = blst_fp::default();
    unsafe { blst_fp_sqr(&mut result, a) };
    result
}

#[inline]
fn plus(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = blst_fp::default();
    unsafe { blst_fp_add(&mut result, a, b) };
    result
}

#[inline]
fn sub(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut result = blst_fp::default();
    unsafe { blst_fp_sub(&mut result, a, b) };
    result
}
