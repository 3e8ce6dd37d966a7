//! Additions of eight pairs of points at a time, for processors that multiply words of 52 bits in all lanes (AVX-512 IFMA): four times as
//! many a second as with a product after the other.
//!
//! A base field element is eight limbs of 52 bits in Montgomery form, x·2^416. At rest it is canonical, so equal points have equal limbs.
//! Under way limbs may be of any sign and a value a few times p: 35 bits are to spare, and a product of such values is at most p + 2^-30·p.

use crate::additions::{load as load_point, prefetch, Pair, Reference, Summand};
use crate::points::{self, add_affine, mul, negate, to_affine, to_projective, Affine};
use blst::blst_fp;
use std::arch::x86_64::*;
use std::array::from_fn;

const LANES: usize = 8;
const LIMBS: usize = 8;
const LIMB_BITS: usize = 52;
const MASK: u64 = (1 << LIMB_BITS) - 1;

type Limbs = [u64; LIMBS];

/// The limbs of eight elements: limb j of all of them, then limb j + 1.
type Eight = [__m512i; LIMBS];

const MODULUS_WORDS: [u64; 6] =
    [0xb9feffffffffaaab, 0x1eabfffeb153ffff, 0x6730d2a0f6b0f624, 0x64774b84f38512bf, 0x4b1ba7b6434bacd7, 0x1a0111ea397fe69a];
const MODULUS: Limbs = split(MODULUS_WORDS);
const NEGATED_INVERSE: u64 = 0x89f3fffcfffcfffd & MASK; // −1/p modulo 2^52
const ONE: Limbs = split(power_of_two(416));

/// Two factors for blst, which keeps x as x·2^384 and divides products by that: from its form to ours and back; and for inverses.
const ENTER: blst_fp = blst_fp { l: power_of_two(416) };
const LEAVE: blst_fp = blst_fp { l: power_of_two(352) };
const INVERT: blst_fp = blst_fp { l: power_of_two(448) };

const fn split(words: [u64; 6]) -> Limbs {
    let (mut limbs, mut j) = ([0; LIMBS], 0);
    while j < LIMBS {
        let (word, shift) = (LIMB_BITS * j / 64, LIMB_BITS * j % 64);
        limbs[j] = words[word] >> shift;
        if shift + LIMB_BITS > 64 && word < 5 {
            limbs[j] |= words[word + 1] << (64 - shift);
        }
        limbs[j] &= MASK;
        j += 1;
    }
    limbs
}

fn join(limbs: &Limbs) -> [u64; 6] {
    let mut words = [0; 6];
    for (j, limb) in limbs.iter().enumerate() {
        let (word, shift) = (LIMB_BITS * j / 64, LIMB_BITS * j % 64);
        words[word] |= limb << shift;
        if shift + LIMB_BITS > 64 && word < 5 {
            words[word + 1] |= limb >> (64 - shift);
        }
    }
    words
}

/// 2^exponent modulo p.
const fn power_of_two(exponent: usize) -> [u64; 6] {
    let (mut words, mut count) = ([1u64, 0, 0, 0, 0, 0], 0);
    while count < exponent {
        let (mut reduced, mut borrow, mut carry, mut i) = ([0; 6], 0, 0, 0);
        while i < 6 {
            let doubled = words[i] << 1 | carry;
            carry = words[i] >> 63;
            words[i] = doubled;
            let (part, first) = doubled.overflowing_sub(MODULUS_WORDS[i]);
            let (rest, second) = part.overflowing_sub(borrow);
            reduced[i] = rest;
            borrow = (first || second) as u64;
            i += 1;
        }
        if borrow == 0 {
            words = reduced;
        }
        count += 1;
    }
    words
}

/// A point in affine coordinates; infinity is (0, 0).
#[derive(Clone, Copy, Default, PartialEq)]
#[repr(C, align(64))]
pub struct LanePoint {
    x: Limbs,
    y: Limbs,
}

pub fn is_supported() -> bool {
    std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512ifma")
}

impl Summand for LanePoint {
    type Scratch = Scratch;
    const BATCH: usize = 2048; // the inversion costs 40 additions, and the batch stays in the second cache

    fn from_affine(point: &Affine) -> Self {
        Self { x: split(multiply_words(&point.x, &ENTER).l), y: split(multiply_words(&point.y, &ENTER).l) }
    }

    fn to_affine(&self) -> Affine {
        let leave = |limbs| multiply_words(&blst_fp { l: join(limbs) }, &LEAVE);
        Affine { x: leave(&self.x), y: leave(&self.y) }
    }

    fn is_infinity(&self) -> bool {
        *self == Self::default()
    }

    fn negate(&self) -> Self {
        Self::from_affine(&negate(&self.to_affine()))
    }

    fn add_pairs(pairs: &mut Vec<Pair>, points: &[Self], results: &mut [Self], scratch: &mut Scratch) {
        // Whole groups: a pair may be added twice, with the same result.
        while !pairs.len().is_multiple_of(LANES) {
            pairs.push(pairs[0]);
        }
        // SAFETY: points of this type are made where the processor is known to have the instructions.
        unsafe { add_all(pairs.as_chunks().0, points, results, scratch) }
    }
}

fn multiply_words(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut product = blst_fp::default();
    mul(&mut product, a, b);
    product
}

/// What a batch keeps for each of its groups between the passes.
#[derive(Default)]
pub struct Scratch {
    groups: Vec<Group>,
}

struct Group {
    denominators: Eight,
    products: Eight,
    special: u8, // lanes with infinity, a point twice, or a point and its negative
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn add_all(groups: &[[Pair; LANES]], points: &[LanePoint], results: &mut [LanePoint], scratch: &mut Scratch) {
    const AHEAD: usize = 1; // groups whose points are asked of the memory before they are read
    scratch.groups.clear();
    let mut product = broadcast(&ONE);
    for (g, group) in groups.iter().enumerate() {
        if let Some(next) = groups.get(g + AHEAD) {
            for &(left, right, _) in next {
                prefetch(&points[left as usize >> 1]);
                prefetch(&points[right as usize >> 1]);
            }
        }
        let ([left, right], _) = find_points(group, points);
        let (left, right) = (gather(&left, |point| &point.x), gather(&right, |point| &point.x));
        let mut difference = subtract(&right, &left);
        let special = find_zeros(&left) | find_zeros(&right) | find_zeros(&difference);
        difference = normalize(&add(&difference, &broadcast(&MODULUS)));
        if special != 0 {
            for (limb, one) in difference.iter_mut().zip(ONE) {
                *limb = _mm512_mask_set1_epi64(*limb, special, one as i64);
            }
        }
        scratch.groups.push(Group { denominators: difference, products: product, special });
        product = multiply(&product, &difference);
    }
    let mut inverse = invert(&product);
    for (group, pairs) in scratch.groups.iter().zip(groups).rev() {
        let of_group = multiply(&inverse, &group.products);
        inverse = multiply(&inverse, &group.denominators);
        write_sums(pairs, points, results, &of_group);
        for lane in (0..LANES).filter(|lane| group.special >> lane & 1 == 1) {
            let (left, right, place) = pairs[lane];
            results[place as usize] = add_slowly(points, left, right);
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn write_sums(pairs: &[Pair; LANES], points: &[LanePoint], results: &mut [LanePoint], inverse: &Eight) {
    let modulus = broadcast(&MODULUS);
    let ([left, right], odd) = find_points(pairs, points);
    let (left_x, right_x) = (gather(&left, |point| &point.x), gather(&right, |point| &point.x));
    let left_y = negate_some(&gather(&left, |point| &point.y), odd[0]);
    let right_y = negate_some(&gather(&right, |point| &point.y), odd[1]);
    let slope = multiply(&normalize(&add(&subtract(&right_y, &left_y), &modulus)), inverse);
    let x = reduce(&subtract(&subtract(&multiply(&slope, &slope), &left_x), &right_x), 2);
    let step = normalize(&add(&subtract(&left_x, &x), &modulus));
    let y = reduce(&subtract(&multiply(&slope, &step), &left_y), 1);
    let (x, y) = (transpose(&x), transpose(&y));
    for (lane, &(_, _, place)) in pairs.iter().enumerate() {
        let result = &mut results[place as usize];
        store(&mut result.x, x[lane]);
        store(&mut result.y, y[lane]);
    }
}

/// All cases, by blst.
#[cold]
fn add_slowly(points: &[LanePoint], left: Reference, right: Reference) -> LanePoint {
    let [left, right] = [left, right].map(|reference| load_point(points, reference).to_affine());
    let mut sum = to_projective(&left);
    add_affine(&mut sum, &right);
    LanePoint::from_affine(&to_affine(&sum))
}

/// 1/x in every lane, none zero: one inversion, of the product of all lanes.
#[target_feature(enable = "avx512f,avx512ifma")]
fn invert(elements: &Eight) -> Eight {
    // After step k, `product` has 2^k lanes in each; `others` gathers what is missing of each lane's own.
    let (mut product, mut others) = (*elements, broadcast(&ONE));
    for step in [1, 2, 4] {
        let order = load(&from_fn(|lane| ((lane + step) % LANES) as u64));
        let mut rotated = product;
        for limb in &mut rotated {
            *limb = _mm512_permutexvar_epi64(order, *limb);
        }
        others = multiply(&others, &rotated);
        product = multiply(&product, &rotated);
    }
    let mut first = [0; LIMBS];
    store(&mut first, transpose(&reduce(&product, 0))[0]);
    let mut inverse = blst_fp::default();
    points::invert(&mut inverse, &blst_fp { l: join(&first) });
    multiply(&others, &broadcast(&split(multiply_words(&inverse, &INVERT).l)))
}

// ---- eight elements --------------------------------------------------------------------------------------------------------------------

// Loops, not closures: a function of the standard library that calls a closure is compiled without the instructions, and cannot inline it.

/// The points of eight pairs, and the lanes in which they are negated.
#[inline(always)]
fn find_points<'a>(pairs: &[Pair; LANES], points: &'a [LanePoint]) -> ([[&'a LanePoint; LANES]; 2], [u8; 2]) {
    let (mut found, mut odd) = ([[&points[0]; LANES]; 2], [0; 2]);
    for (lane, &(left, right, _)) in pairs.iter().enumerate() {
        for (side, reference) in [left, right].into_iter().enumerate() {
            found[side][lane] = &points[reference as usize >> 1];
            odd[side] |= ((reference & 1) << lane) as u8;
        }
    }
    (found, odd)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(limbs: &Limbs) -> __m512i {
    // SAFETY: 64 readable bytes.
    unsafe { _mm512_loadu_epi64(limbs.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(limbs: &mut Limbs, lane: __m512i) {
    // SAFETY: 64 writable bytes.
    unsafe { _mm512_storeu_epi64(limbs.as_mut_ptr().cast(), lane) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn broadcast(limbs: &Limbs) -> Eight {
    let mut vectors = [_mm512_setzero_si512(); LIMBS];
    for j in 0..LIMBS {
        vectors[j] = _mm512_set1_epi64(limbs[j] as i64);
    }
    vectors
}

#[target_feature(enable = "avx512f")]
#[inline]
fn gather(points: &[&LanePoint; LANES], coordinate: fn(&LanePoint) -> &Limbs) -> Eight {
    let mut lanes = [_mm512_setzero_si512(); LANES];
    for lane in 0..LANES {
        lanes[lane] = load(coordinate(points[lane]));
    }
    transpose(&lanes)
}

/// Word i of vector j becomes word j of vector i.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(v: &[__m512i; 8]) -> [__m512i; 8] {
    let mut pairs = *v; // words 0, 2, 4, 6 of two vectors, two and two; behind them words 1, 3, 5, 7
    for i in (0..8).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
    }
    let mut fours = pairs; // words 0, 4 of four vectors; 1, 5; 2, 6; 3, 7
    for half in [0, 4] {
        for parity in [0, 1] {
            let (a, b) = (pairs[half + parity], pairs[half + parity + 2]);
            fours[half + parity] = _mm512_shuffle_i64x2::<0x88>(a, b);
            fours[half + parity + 2] = _mm512_shuffle_i64x2::<0xdd>(a, b);
        }
    }
    let mut words = fours;
    for i in 0..4 {
        words[i] = _mm512_shuffle_i64x2::<0x88>(fours[i], fours[i + 4]);
        words[i + 4] = _mm512_shuffle_i64x2::<0xdd>(fours[i], fours[i + 4]);
    }
    words
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add(a: &Eight, b: &Eight) -> Eight {
    let mut sum = *a;
    for j in 0..LIMBS {
        sum[j] = _mm512_add_epi64(a[j], b[j]);
    }
    sum
}

#[target_feature(enable = "avx512f")]
#[inline]
fn subtract(a: &Eight, b: &Eight) -> Eight {
    let mut difference = *a;
    for j in 0..LIMBS {
        difference[j] = _mm512_sub_epi64(a[j], b[j]);
    }
    difference
}

/// The lanes in which all limbs are zero.
#[target_feature(enable = "avx512f")]
#[inline]
fn find_zeros(a: &Eight) -> __mmask8 {
    let mut any = a[0];
    for limb in &a[1..] {
        any = _mm512_or_si512(any, *limb);
    }
    _mm512_testn_epi64_mask(any, any)
}

/// p − y in some lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn negate_some(y: &Eight, lanes: __mmask8) -> Eight {
    let (mut negated, modulus) = (*y, broadcast(&MODULUS));
    for j in 0..LIMBS {
        negated[j] = _mm512_mask_sub_epi64(y[j], lanes, modulus[j], y[j]);
    }
    negated
}

/// Limbs in [0, 2^52), but for the last, which has the sign.
#[target_feature(enable = "avx512f")]
#[inline]
fn normalize(a: &Eight) -> Eight {
    let (mut limbs, mask) = (*a, _mm512_set1_epi64(MASK as i64));
    for j in 1..LIMBS {
        limbs[j] = _mm512_add_epi64(limbs[j], _mm512_srai_epi64::<{ LIMB_BITS as u32 }>(limbs[j - 1]));
        limbs[j - 1] = _mm512_and_si512(limbs[j - 1], mask);
    }
    limbs
}

/// The canonical form of a value from −below·p to p and a little.
#[target_feature(enable = "avx512f")]
#[inline]
fn reduce(a: &Eight, below: usize) -> Eight {
    let modulus = broadcast(&MODULUS);
    let mut value = normalize(&subtract(a, &modulus));
    for _ in 0..=below {
        let negative = _mm512_cmplt_epi64_mask(value[LIMBS - 1], _mm512_setzero_si512());
        for j in 0..LIMBS {
            value[j] = _mm512_mask_add_epi64(value[j], negative, value[j], modulus[j]);
        }
        value = normalize(&value);
    }
    value
}

/// a·b/2^416 of normalized values.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn multiply(a: &Eight, b: &Eight) -> Eight {
    let (zero, inverse, modulus) = (_mm512_setzero_si512(), _mm512_set1_epi64(NEGATED_INVERSE as i64), broadcast(&MODULUS));
    let mut t = [zero; LIMBS + 1];
    for &word in b {
        for j in 0..LIMBS {
            t[j] = _mm512_madd52lo_epu64(t[j], a[j], word);
        }
        let quotient = _mm512_madd52lo_epu64(zero, t[0], inverse);
        for j in 0..LIMBS {
            t[j] = _mm512_madd52lo_epu64(t[j], quotient, modulus[j]);
        }
        t[1] = _mm512_add_epi64(t[1], _mm512_srli_epi64::<{ LIMB_BITS as u32 }>(t[0]));
        for j in 0..LIMBS {
            t[j] = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(t[j + 1], a[j], word), quotient, modulus[j]);
        }
    }
    normalize(&[t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]])
}
