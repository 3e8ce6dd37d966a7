//! Vectors of field elements, and multilinear extensions of tables; variable 0 is the least significant bit of an index.

use crate::field::{limbs, proper, raw, raw_limbs, Entries, Fr, Limbs};
use crate::sums::{contract, dot, Weights};
use crate::tasks;
use ark_ff::{batch_inversion, AdditiveGroup, Field};
use rayon::prelude::*;

const GRAIN: usize = 1 << 12; // elements that are worth a task

/// eq(point, i) for every index, proper; the largest levels on all cores.
pub fn eq_table(point: &[Fr]) -> Vec<Fr> {
    let mut table = vec![Fr::ZERO; 1 << point.len()];
    table[0] = Fr::ONE;
    for (j, &x) in point.iter().enumerate() {
        let (low, rest) = table.split_at_mut(1 << j);
        let high = &mut rest[..1 << j];
        let split = |(low, high): (&mut Fr, &mut Fr)| {
            *high = *low * x;
            *low -= *high;
        };
        if low.len() <= GRAIN {
            low.iter_mut().zip(high).for_each(split);
        } else {
            low.par_iter_mut().with_min_len(GRAIN).zip(high).for_each(split);
        }
    }
    table
}

/// The multilinear extension at `point`, canonical. The point is cut in two, so that no table of 2^len(point) elements is made:
/// Σ_h eq(high, h)·Σ_l eq(low, l)·values[h, l]. Values count as padded with zeros, which the last coordinates see alone.
pub fn evaluate(values: Entries, point: &[Fr]) -> Limbs {
    let bits = values.len().next_power_of_two().ilog2() as usize;
    let (point, beyond) = point.split_at(bits.min(point.len()));
    let (low, high) = point.split_at(point.len() / 2);
    let mut inner = Weights::from_elements(eq_table(low));
    let outer = eq_table(high);
    let (width, count) = (inner.limbs.len(), values.len());
    let whole = count / width;
    let rows = contract(values.slice(0..whole * width), (whole, 1), &inner);
    let mut sum: Fr = rows.iter().zip(&outer).map(|(&row, &weight)| row * weight).sum();
    if whole * width < count {
        inner.limbs.truncate(count - whole * width);
        inner.elements.truncate(count - whole * width);
        sum += dot(&inner, values.slice(whole * width..count)) * outer[whole];
    }
    raw_limbs(beyond.iter().fold(sum, |sum, &x| sum - sum * x))
}

/// Elementwise, on all cores.
pub fn map(count: usize, element: impl Fn(usize) -> Limbs + Sync + Send) -> Vec<Limbs> {
    tasks::map(count, GRAIN, element)
}

/// 1/v, elementwise, or None if one is zero.
pub fn invert_all(vector: &[Limbs]) -> Option<Vec<Limbs>> {
    if vector.contains(&[0; 4]) {
        return None;
    }
    let mut elements = tasks::map(vector.len(), GRAIN, |i| proper(vector[i]));
    tasks::fill(&mut elements, GRAIN, GRAIN, |_, part| batch_inversion(part));
    Some(map(elements.len(), |i| limbs(elements[i])))
}

/// constant + Σ coefficient·column, elementwise.
pub fn affine(constant: Fr, coefficients: Vec<Fr>, columns: &[&[i64]]) -> Vec<Limbs> {
    let length = columns[0].len();
    let weights = Weights::from_elements(coefficients);
    let constant = raw(limbs(constant));
    let sums = crate::sums::combine_integers(columns, &weights.limbs, length);
    sums.into_iter().map(|sum| raw_limbs(sum + constant)).collect()
}
