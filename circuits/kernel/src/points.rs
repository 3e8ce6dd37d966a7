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

/// −point; infinity is its own.
pub fn negate(point: &Affine) -> Affine {
    let mut negated = *point;
    negate_into(&mut negated.y, &point.y);
    negated
}

// ---- the base field --------------------------------------------------------------------------------------------------------------------

/// 1 in Montgomery form, 2^384 mod p.
pub const ONE: blst_fp =
    blst_fp { l: [0x760900000002fffd, 0xebf4000bc40c0002, 0x5f48985753c758ba, 0x77ce585370525745, 0x5c071a97a256ec6d, 0x15f65ec3fa80e493] };

// Results go where they belong at once. blst stores them in words of 8 bytes, and a copy made right after, in words of 16, would wait for
// those stores to leave the core: returning results by value cost a quarter of a commitment.

#[inline]
pub fn mul(out: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    // SAFETY: plain values, here and below; blst reads its operands before it writes, so that one of them may be the result.
    unsafe { blst_fp_mul(out, a, b) }
}

#[inline]
pub fn mul_by(a: &mut blst_fp, b: &blst_fp) {
    let a: *mut blst_fp = a;
    unsafe { blst_fp_mul(a, a, b) }
}

#[inline]
pub fn square(out: &mut blst_fp, a: &blst_fp) {
    unsafe { blst_fp_sqr(out, a) }
}

#[inline]
pub fn plus(out: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    unsafe { blst_fp_add(out, a, b) }
}

#[inline]
pub fn sub(out: &mut blst_fp, a: &blst_fp, b: &blst_fp) {
    unsafe { blst_fp_sub(out, a, b) }
}

#[inline]
pub fn sub_by(a: &mut blst_fp, b: &blst_fp) {
    let a: *mut blst_fp = a;
    unsafe { blst_fp_sub(a, a, b) }
}

#[inline]
pub fn negate_into(out: &mut blst_fp, a: &blst_fp) {
    unsafe { blst_fp_cneg(out, a, true) }
}

pub fn invert(out: &mut blst_fp, a: &blst_fp) {
    unsafe { blst_fp_eucl_inverse(out, a) }
}
