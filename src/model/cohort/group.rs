//! Points grouped by distance: what the search for cohorts starts from.

/// Rounds of k-means.
const ROUNDS: usize = 8;
/// Where along the points, each counting for its squared distance to the nearest centre, the next centre is taken: the
/// starts that are tried. A far point at random is what k-means++ (Arthur and Vassilvitskii 2007) takes; here it is
/// always the same one.
const STARTS: [f64; 3] = [0.25, 0.5, 0.75];

/// By point: its group, below `groups`. The same points give the same groups.
pub(super) fn grouped(points: &[Vec<f64>], groups: usize) -> Vec<usize> {
    let tried = STARTS.map(|start| k_means(points, centres(points, groups, start)));
    let mut best = 0;
    for at in 1..tried.len() {
        if tried[at].1 < tried[best].1 {
            best = at;
        }
    }
    tried[best].0.clone()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn centres(points: &[Vec<f64>], groups: usize, start: f64) -> Vec<Vec<f64>> {
    let mut centres = vec![mean(points.iter())];
    let mut nearest: Vec<f64> = points.iter().map(|point| distance(point, &centres[0])).collect();
    centres.clear();
    for _ in 0..groups {
        let whole: f64 = nearest.iter().sum();
        let mut passed = 0.0;
        let chosen = nearest.iter().position(|weight| {
            passed += weight;
            passed > start * whole
        });
        let Some(chosen) = chosen else { break };
        centres.push(points[chosen].clone());
        for (nearest, point) in nearest.iter_mut().zip(points) {
            let to_new = distance(point, &points[chosen]);
            *nearest = if centres.len() == 1 { to_new } else { nearest.min(to_new) };
        }
    }
    centres
}

fn mean<'a>(points: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let (mut n, mut sum) = (0.0, Vec::new());
    for point in points {
        n += 1.0;
        sum.resize(point.len(), 0.0);
        sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += x);
    }
    sum.iter().map(|sum| sum / n).collect()
}

/// Groups, and the sum of squared distances to their centres.
fn k_means(points: &[Vec<f64>], mut centres: Vec<Vec<f64>>) -> (Vec<usize>, f64) {
    let mut group = vec![0; points.len()];
    let mut sum = 0.0;
    for _ in 0..ROUNDS {
        sum = 0.0;
        for (group, point) in group.iter_mut().zip(points) {
            let to = |centre: usize| distance(point, &centres[centre]);
            *group = (1..centres.len()).fold(0, |best, next| if to(next) < to(best) { next } else { best });
            sum += centres.get(*group).map_or(0.0, |centre| distance(point, centre));
        }
        for (at, centre) in centres.iter_mut().enumerate() {
            let own = || points.iter().zip(&group).filter(|(_, group)| **group == at).map(|(point, _)| point);
            if own().next().is_some() {
                *centre = mean(own());
            }
        }
    }
    (group, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clumps_are_found_and_equal_points_do_no_harm() {
        let points: Vec<Vec<f64>> = (0..40)
            .map(|i| vec![f64::from(i % 4) * 10.0 + f64::from(i) * 0.01, f64::from(i % 4 / 2)])
            .collect();
        let found = grouped(&points, 4);
        for (i, group) in found.iter().enumerate() {
            assert_eq!(*group, found[i % 4], "point {i}");
        }
        let distinct: std::collections::BTreeSet<usize> = found.iter().copied().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(grouped(&vec![vec![1.0]; 5], 3), [0; 5]);
    }
}
