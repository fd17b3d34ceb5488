//! Which wheels share a layer.
//!
//! A registry and a node store layers, not files: what is in a layer of its own is moved only when it changes. There
//! may not be too many of them, so large wheels have one each and the others share a few. Which one, is decided by
//! the name alone: a wheel that changes, comes or goes leaves every other group as it was.

use crate::digest::Digest;

/// From this size on, in bytes, a wheel is worth a layer of its own.
const LARGE: u64 = 1 << 20;
/// Into how many layers the others go, at most.
const SHARED: usize = 8;

/// What is known of a wheel when it is given a layer.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The package's normalised name.
    pub name: &'a str,
    /// The wheel's size in bytes.
    pub size: u64,
}

/// Distributes `items` over at most `layers` layers (at least one is taken): the positions of each layer's items, in
/// the order of `items`. Layers of one large wheel come first, by name.
pub fn groups(items: &[Item<'_>], layers: usize) -> Vec<Vec<usize>> {
    let layers = layers.max(1);
    let shared = SHARED.min(layers.div_ceil(3));
    let mut large: Vec<usize> = (0..items.len())
        .filter(|&position| items[position].size >= LARGE)
        .collect();
    large.sort_by_key(|&position| {
        (
            std::cmp::Reverse(items[position].size),
            items[position].name,
        )
    });
    large.truncate(layers - shared);
    let mut others = vec![Vec::new(); shared];
    let mut own = Vec::new();
    for (position, item) in items.iter().enumerate() {
        match large.contains(&position) {
            true => own.push(vec![position]),
            false => others[place(item.name, shared)].push(position),
        }
    }
    own.sort_by_key(|group| items[group[0]].name);
    own.extend(others.into_iter().filter(|group| !group.is_empty()));
    own
}

fn place(name: &str, count: usize) -> usize {
    let digest = Digest::of(name.as_bytes());
    let first = u64::from_str_radix(&digest.hex()[..15], 16).unwrap_or_default();
    (first % count as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(groups: &[Vec<usize>], items: &[Item<'_>]) -> Vec<Vec<String>> {
        let names = |group: &Vec<usize>| {
            group
                .iter()
                .map(|&position| items[position].name.to_owned())
                .collect()
        };
        groups.iter().map(names).collect()
    }

    fn item(name: &str, size: u64) -> Item<'_> {
        Item { name, size }
    }

    #[test]
    fn large_wheels_have_layers_of_their_own() {
        let items = [
            item("click", 90_000),
            item("numpy", 18 << 20),
            item("scipy", 35 << 20),
            item("six", 10_000),
        ];
        let groups = named(&groups(&items, 20), &items);
        assert_eq!(groups[..2], [["numpy"], ["scipy"]]);
        assert_eq!(groups[2..].concat().len(), 2);
    }

    #[test]
    fn a_tight_budget_is_kept() {
        let items: Vec<Item<'_>> = ["a", "b", "c", "d", "e", "f"]
            .into_iter()
            .zip(1..)
            .map(|(name, number)| item(name, number * (2 << 20)))
            .collect();
        for budget in 0..10 {
            let groups = groups(&items, budget);
            assert!(groups.len() <= budget.max(1), "{budget}");
            assert_eq!(groups.concat().len(), items.len());
        }
    }

    proptest! {
        #[test]
        fn what_changes_leaves_the_other_groups_alone(
            sizes in prop::collection::btree_map("[a-z]{1,6}", 1_u64..900_000, 1..40),
            changed in "[a-z]{1,6}",
        ) {
            let before: Vec<Item<'_>> = sizes.iter().map(|(name, size)| item(name, *size)).collect();
            let mut sizes = sizes.clone();
            sizes.insert(changed.clone(), 5);
            let after: Vec<Item<'_>> = sizes.iter().map(|(name, size)| item(name, *size)).collect();
            let old = named(&groups(&before, 28), &before);
            let without = |group: Vec<String>| -> Vec<String> {
                group.into_iter().filter(|name| *name != changed).collect()
            };
            for group in named(&groups(&after, 28), &after) {
                let others = without(group);
                prop_assert!(others.is_empty() || old.iter().any(|group| without(group.clone()) == others));
            }
        }
    }
}
