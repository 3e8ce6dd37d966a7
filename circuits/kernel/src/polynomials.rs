//! Polynomials in one variable, as coefficients, lowest first: the two steps of an opening that are not sums.

use crate::field::{raw, raw_limbs, Fr, Limbs};
use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use std::collections::BTreeMap;

pub type Pair = (Fr, Fr);

const GRAIN: usize = 1 << 12;

/// Σ polynomial·Π_j (a_j·X^(2^j) + b_j) over terms (numbers of pairs in `pairs`, raw polynomial); at least one term, all with the same
/// number k of pairs and 2^k coefficients. Terms that share a prefix of their pairs are added up as soon as nothing else differs.
pub fn multiply_pairs(pairs: &[Pair], terms: Vec<(Vec<u32>, Vec<Fr>)>) -> Vec<Limbs> {
    let levels = terms[0].0.len();
    let mut live = group(terms);
    for level in (0..levels).rev() {
        let products = live.into_par_iter().map(|(low, polynomials)| {
            let sum = add_all(polynomials);
            (low[..level].to_vec(), multiply_binomial(sum, pairs[low[level] as usize], 1 << level))
        });
        live = group(products.collect());
    }
    let (_, sums) = live.pop_first().expect("at least one term");
    add_all(sums).into_iter().map(raw_limbs).collect()
}

fn group(terms: Vec<(Vec<u32>, Vec<Fr>)>) -> BTreeMap<Vec<u32>, Vec<Vec<Fr>>> {
    let mut groups: BTreeMap<Vec<u32>, Vec<Vec<Fr>>> = BTreeMap::new();
    for (low, polynomial) in terms {
        groups.entry(low).or_default().push(polynomial);
    }
    groups
}

fn add_all(polynomials: Vec<Vec<Fr>>) -> Vec<Fr> {
    let mut rest = polynomials.into_iter();
    let mut sum = rest.next().expect("a group is not empty");
    for polynomial in rest {
        sum.iter_mut().zip(&polynomial).for_each(|(a, b)| *a += b);
    }
    sum
}

/// polynomial·(a·X^step + b). Fixed bits cost no product, and a coordinate (1 − x, x) one instead of two.
fn multiply_binomial(polynomial: Vec<Fr>, (a, b): Pair, step: usize) -> Vec<Fr> {
    let length = polynomial.len();
    let low = scale(&polynomial, b);
    let high = if a + b == Fr::ONE && b != Fr::ZERO && a != Fr::ZERO {
        polynomial.par_iter().with_min_len(GRAIN).zip(&low).map(|(p, l)| p - l).collect()
    } else {
        scale(&polynomial, a)
    };
    let mut product = low;
    product.resize(length + step, Fr::ZERO);
    product[step..].iter_mut().zip(&high).for_each(|(p, h)| *p += h);
    product
}

fn scale(polynomial: &[Fr], factor: Fr) -> Vec<Fr> {
    if factor == Fr::ZERO {
        vec![Fr::ZERO; polynomial.len()]
    } else if factor == Fr::ONE {
        polynomial.to_vec()
    } else {
        polynomial.par_iter().with_min_len(GRAIN).map(|c| factor * c).collect()
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
