//! Work on many elements, cut into tasks. What is worth one task stays on the calling thread: waking another one takes longer.

use rayon::prelude::*;

/// `element` of every number below `count`, at least `grain` of them a task.
pub fn map<T: Send>(count: usize, grain: usize, element: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    if count <= grain {
        return (0..count).map(element).collect();
    }
    (0..count).into_par_iter().with_min_len(grain).map(element).collect()
}

/// `fill` of every part of `size` elements and its number, at least `grain` elements a task.
pub fn fill<T: Send>(elements: &mut [T], size: usize, grain: usize, fill: impl Fn(usize, &mut [T]) + Sync + Send) {
    if elements.len() <= grain {
        return elements.chunks_mut(size).enumerate().for_each(|(number, part)| fill(number, part));
    }
    let parts = elements.par_chunks_mut(size).enumerate().with_min_len(grain.div_ceil(size));
    parts.for_each(|(number, part)| fill(number, part));
}
