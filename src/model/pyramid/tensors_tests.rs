use super::super::synthetic::{normal_windows, series};
use super::super::{Scores, Work};
use super::*;

fn fitted() -> Pyramid {
    let windows = normal_windows(&series(1500, 5, 1), 20, 5);
    Pyramid::fit(windows.view(), 20, 5, &[false, false, true, false, false]).unwrap()
}

#[test]
fn parts_come_back_to_the_bit() {
    let pyramid = fitted();
    let (head, tensors) = pyramid.to_parts();
    let text = serde_json::to_string(&head).unwrap();
    let back = Pyramid::from_parts(&serde_json::from_str(&text).unwrap(), &tensors).unwrap();
    let mut windows = normal_windows(&series(400, 5, 2), 20, 5);
    windows.iter_mut().step_by(301).for_each(|z| *z = f32::NAN);
    let windows = windows.as_slice().unwrap();
    let (mut a, mut b) = (Scores::default(), Scores::default());
    pyramid.score(windows, &mut a, &mut Work::new());
    back.score(windows, &mut b, &mut Work::new());
    let bits = |s: &Scores| {
        s.state.iter().chain(&s.surprise).chain(&s.levels).map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&a), bits(&b));
    assert_eq!(a.log_likelihood, b.log_likelihood);
    assert!(back.to_parts() == (head, tensors));
}

#[test]
fn whatever_is_missing_or_bent_is_an_error() {
    let (head, tensors) = fitted().to_parts();
    for at in 0..tensors.len() {
        let mut less = tensors.clone();
        less.remove(at);
        assert_eq!(Pyramid::from_parts(&head, &less).unwrap_err().part, tensors[at].name);
        let mut bent = tensors.clone();
        match &mut bent[at].data {
            Data::F32(values) => values[0] = f32::NAN,
            Data::F64(values) => values[0] = f64::NAN,
        }
        assert_eq!(Pyramid::from_parts(&head, &bent).unwrap_err().part, tensors[at].name);
        bent[at].data = match &tensors[at].data {
            Data::F32(values) => Data::F64(vec![0.5; values.len()]),
            Data::F64(values) => Data::F32(vec![0.5; values.len()]),
        };
        assert_eq!(Pyramid::from_parts(&head, &bent).unwrap_err().part, tensors[at].name);
        let mut longer = tensors.clone();
        longer[at].shape[0] += 1;
        assert_eq!(Pyramid::from_parts(&head, &longer).unwrap_err().part, tensors[at].name);
    }
    let bends: [fn(&mut Head); 5] = [
        |h| h.cells = 0,
        |h| h.columns = 9,
        |h| h.levels.clear(),
        |h| h.levels[0].shape.pool = 30,
        |h| h.levels[0].codes = 3,
    ];
    for (at, bend) in bends.into_iter().enumerate() {
        let mut bent = head.clone();
        bend(&mut bent);
        assert!(Pyramid::from_parts(&bent, &tensors).is_err(), "{at}");
    }
}
