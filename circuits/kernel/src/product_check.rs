//! Σ factor·Σ_i eq(i)·a(i)·b(i) over summands, one round at a time. Coefficients come from values at 0 and differences: none is interpolated.

use crate::columns::{sum_pairs, Column};
use crate::field::{Fr, HALF};
use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;

pub struct Summand {
    factor: Fr, // with the power of two for the variables it lacks
    eq: Option<Column>,
    a: Column,
    b: Column,
    variables: usize,
}

pub struct ProductCheck {
    summands: Vec<Summand>,
    rounds: usize,
    round: usize,
    degree: usize,
}

impl Summand {
    pub fn new(factor: Fr, eq: Option<Column>, a: Column, b: Column, (variables, rounds): (usize, usize)) -> Self {
        let factor = factor * HALF.pow([(rounds - variables) as u64]);
        Self { factor, eq, a, b, variables }
    }

    /// c0, c2, c3 of this round's polynomial.
    fn coefficients(&self, round: usize, rounds: usize) -> [Fr; 3] {
        let (missing, sums) = if round < self.variables {
            (rounds - self.variables, self.sum_round())
        } else {
            let eq = self.eq.as_ref().map_or(Fr::ONE, |eq| eq.get(0));
            (rounds - round - 1, [eq * self.a.get(0) * self.b.get(0), Fr::ZERO, Fr::ZERO])
        };
        let scale = self.factor * Fr::from(2u64).pow([missing as u64]);
        sums.map(|sum| sum * scale)
    }

    fn sum_round(&self) -> [Fr; 3] {
        let pairs = self.a.len().min(self.b.len()).div_ceil(2); // behind the end of either there are only zeros
        let Some(eq) = &self.eq else {
            return sum_pairs(pairs, |i, sums: &mut [Fr; 3]| {
                let ((a, da), (b, db)) = (self.a.pair(i), self.b.pair(i));
                sums[0] += a * b;
                sums[1] += da * db;
            });
        };
        sum_pairs(pairs, |i, sums: &mut [Fr; 3]| {
            let ((e, de), (a, da), (b, db)) = (eq.pair(i), self.a.pair(i), self.b.pair(i));
            let steps = da * db;
            sums[0] += e * (a * b);
            sums[1] += e * steps + de * (a * db + b * da);
            sums[2] += de * steps;
        })
    }

    fn bind(&mut self, challenge: Fr) {
        self.a.bind(challenge);
        self.b.bind(challenge);
        if let Some(eq) = &mut self.eq {
            eq.bind(challenge);
        }
    }
}

impl ProductCheck {
    /// The caller has compared lengths, variables and degree.
    pub fn new(summands: Vec<Summand>, rounds: usize, degree: usize) -> Self {
        Self { summands, rounds, round: 0, degree }
    }

    /// c0, c2 (and c3 in degree 3), or None after the last round.
    pub fn message(&self) -> Option<Vec<Fr>> {
        if self.round == self.rounds {
            return None;
        }
        let parts: Vec<[Fr; 3]> = self.summands.par_iter().map(|s| s.coefficients(self.round, self.rounds)).collect();
        Some((0..self.degree).map(|i| parts.iter().map(|part| part[i]).sum()).collect())
    }

    /// None after the last round.
    pub fn bind(&mut self, challenge: Fr) -> Option<()> {
        if self.round == self.rounds {
            return None;
        }
        let round = self.round;
        self.summands.par_iter_mut().filter(|s| round < s.variables).for_each(|s| s.bind(challenge));
        self.round += 1;
        Some(())
    }

    /// a and b of every summand, or None before the last round is over.
    pub fn ends(&self) -> Option<Vec<(Fr, Fr)>> {
        (self.round == self.rounds).then(|| self.summands.iter().map(|s| (s.a.get(0), s.b.get(0))).collect())
    }
}
