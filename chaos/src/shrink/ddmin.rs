//! Delta debugging: what of a list is needed for a failure.

/// A smaller list that still fails, from which no single item can be taken away (Zeller and Hildebrandt:
/// Simplifying and Isolating Failure-Inducing Input, 2002). It begins with so many parts.
///
/// `first_failing` says which of some lists is the first that still fails; nothing, if none does or there was
/// no time to find out. It gets many at once so that it may try them side by side.
pub fn ddmin<T: Clone>(
    mut items: Vec<T>,
    parts: usize,
    first_failing: &mut impl FnMut(Vec<Vec<T>>) -> Option<usize>,
) -> Vec<T> {
    if items.is_empty() || first_failing(vec![vec![]]).is_some() {
        return vec![];
    }
    let mut parts = parts.clamp(2, items.len().max(2));
    while items.len() > 1 {
        let size = items.len().div_ceil(parts);
        let (alone, without) = (chunks(&items, size), complements(&items, size));
        // With two parts, what is left without one is the other.
        let tried = if alone.len() > 2 { [alone, without].concat() } else { alone };
        let halves = tried.len() == 2;
        match first_failing(tried.clone()) {
            Some(found) => {
                let was_part = halves || found < tried.len() / 2;
                items = tried[found].clone();
                parts = if was_part { 2 } else { (parts - 1).max(2) };
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

fn chunks<T: Clone>(items: &[T], size: usize) -> Vec<Vec<T>> {
    items.chunks(size).map(<[T]>::to_vec).collect()
}

/// The list without each of its parts.
fn complements<T: Clone>(items: &[T], size: usize) -> Vec<Vec<T>> {
    let starts = (0..items.len()).step_by(size);
    starts.map(|from| [&items[..from], &items[(from + size).min(items.len())..]].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of 0..count, and how many lists were tried, if a list fails that the function says fails.
    fn shrunk(count: u32, fails: impl Fn(&[u32]) -> bool) -> (Vec<u32>, usize) {
        let mut tries = 0;
        let mut first = |lists: Vec<Vec<u32>>| {
            let found = lists.iter().position(|list| fails(list));
            tries += found.map_or(lists.len(), |at| at + 1);
            found
        };
        (ddmin((0..count).collect(), 2, &mut first), tries)
    }

    #[test]
    fn exactly_what_is_needed_is_left() {
        for needed in [vec![0], vec![99], vec![3, 4], vec![0, 50, 99], vec![7, 19, 20, 63, 98]] {
            let (left, tries) = shrunk(100, |list| needed.iter().all(|item| list.contains(item)));
            assert_eq!(left, needed);
            assert!(tries < 400, "{tries} tries for {needed:?}");
        }
    }

    #[test]
    fn nothing_is_left_if_nothing_is_needed_and_all_if_all_is() {
        assert_eq!(shrunk(50, |_| true).0, Vec::<u32>::new());
        assert_eq!(shrunk(12, |list| list.len() == 12).0.len(), 12);
        assert_eq!(shrunk(0, |_| true).0, Vec::<u32>::new());
        assert_eq!(shrunk(1, |list| !list.is_empty()).0, vec![0]);
    }

    #[test]
    fn no_single_item_can_be_taken_from_what_is_left_even_if_failures_are_fickle() {
        let fails = |list: &[u32]| list.contains(&5) && list.iter().sum::<u32>() % 3 != 1;
        let (left, _) = shrunk(40, fails);
        assert!(fails(&left));
        for at in 0..left.len() {
            let mut less = left.clone();
            less.remove(at);
            assert!(!fails(&less), "{left:?} without its item {at} fails too");
        }
    }

    #[test]
    fn it_ends_when_nothing_more_is_tried() {
        let mut budget = 3;
        let mut first = |lists: Vec<Vec<u32>>| {
            budget -= 1;
            if budget > 0 { lists.iter().position(|list| list.contains(&1)) } else { None }
        };
        assert!(ddmin((0..64).collect(), 2, &mut first).contains(&1));
    }
}
