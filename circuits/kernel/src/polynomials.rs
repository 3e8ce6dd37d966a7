//! Polynomials in one variable, as coefficients, lowest first: the two steps of an opening that are not sums.

use crate::field::{raw, raw_limbs, Fr, Limbs};
use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use std::collections::BTreeMap;

pub type Pair = (Fr, Fr);

const GRAIN: usize = 1 << 11; // coefficients that are worth a task

/// A polynomial, and what it is still to be multiplied with: the first pairs, by number.
type Term = (Vec<u32>, Vec<Fr>);

/// Σ polynomial·Π_j (a_j·X^(2^j) + b_j) over terms (numbers of pairs in `pairs`, raw polynomial); at least one term, all with the same
/// number k of pairs and 2^k coefficients. Terms that share a prefix of their pairs are added up as soon as nothing else differs.
pub fn multiply_pairs(pairs: &[Pair], terms: Vec<Term>) -> Vec<Limbs> {
    let levels = terms[0].0.len();
    let mut live: Vec<Term> = group(terms, levels).into_par_iter().map(|(low, terms)| (low, add_all(terms))).collect();
    for level in (0..levels).rev() {
        let multiply = |(low, terms): (Vec<u32>, Vec<Term>)| {
            let factors: Vec<(Pair, Vec<Fr>)> = terms.into_iter().map(|(of_term, p)| (pairs[of_term[level] as usize], p)).collect();
            (low, multiply_binomials(&factors, 1 << level))
        };
        live = group(live, level).into_par_iter().map(multiply).collect();
    }
    live[0].1.iter().map(|&c| raw_limbs(c)).collect()
}

/// By their first `level` pairs.
fn group(terms: Vec<Term>, level: usize) -> BTreeMap<Vec<u32>, Vec<Term>> {
    let mut groups: BTreeMap<Vec<u32>, Vec<Term>> = BTreeMap::new();
    for term in terms {
        groups.entry(term.0[..level].to_vec()).or_default().push(term);
    }
    groups
}

fn add_all(terms: Vec<Term>) -> Vec<Fr> {
    let mut rest = terms.into_iter().map(|(_, polynomial)| polynomial);
    let mut sum = rest.next().expect("a group is not empty");
    for polynomial in rest {
        sum.iter_mut().zip(&polynomial).for_each(|(a, b)| *a += b);
    }
    sum
}

/// Σ polynomial·(a·X^step + b), all polynomials of one length.
fn multiply_binomials(factors: &[(Pair, Vec<Fr>)], step: usize) -> Vec<Fr> {
    let mut sum = vec![Fr::ZERO; factors[0].1.len() + step];
    sum.par_chunks_mut(GRAIN).enumerate().for_each(|(chunk, sum)| {
        for (pair, polynomial) in factors {
            add_binomial(sum, chunk * GRAIN, *pair, polynomial, step);
        }
    });
    sum
}

/// Adds coefficients `first` .. of polynomial·(a·X^step + b): no product for the fixed bits (0, 1) and (1, 0) and the sum (1, 1), one for a
/// coordinate (x, 1 − x), two for any other pair.
fn add_binomial(sum: &mut [Fr], first: usize, (a, b): Pair, polynomial: &[Fr], step: usize) {
    let plain = |i: usize| polynomial.get(i).copied().unwrap_or(Fr::ZERO);
    let shifted = |i: usize| if i >= step { polynomial[i - step] } else { Fr::ZERO };
    let is_bit = |factor: Fr| factor == Fr::ZERO || factor == Fr::ONE;
    if a + b == Fr::ONE && !is_bit(a) {
        for (i, sum) in (first..).zip(sum) {
            let low = plain(i);
            *sum += low + a * (shifted(i) - low);
        }
        return;
    }
    for (factor, value) in [(a, &shifted as &dyn Fn(usize) -> Fr), (b, &plain)] {
        if factor != Fr::ZERO {
            for (i, sum) in (first..).zip(sum.iter_mut()) {
                *sum += if factor == Fr::ONE { value(i) } else { factor * value(i) };
            }
        }
    }
}

/// The quotient by X − z of a polynomial with at least one coefficient.
pub fn divide(polynomial: &[Limbs], z: Fr) -> Vec<Limbs> {
    let mut quotient = vec![[0; 4]; polynomial.len() - 1];
    let mut carry = Fr::ZERO;
    for i in (1..polynomial.len()).rev() {
        carry = carry * z + raw(polynomial[i]);
        quotient[i - 1] = raw_limbs(carry);
    }
    quotient
}
