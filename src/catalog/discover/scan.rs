//! The words of a text: a script, a configuration file, a list without blanks.

use super::guess::{Guess, is_image_key, says_something_else, short, whole, with_defaults};
use super::words::Role;

/// Longer words are not keys.
const MAX_KEY: usize = 64;
/// Values of parts that are put together in one text.
const MAX_VALUES: usize = 10_000;

/// A word and the key before it.
struct Word<'t> {
    /// Counted from 0.
    line: u64,
    key: &'t str,
    value: &'t str,
    /// The key precedes it with `=`, not as the word before.
    is_joined: bool,
}

/// The value of a part, in a text of many words.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// Counted from 0.
    pub(super) line: u64,
    pub(super) key: String,
    pub(super) text: String,
}

/// Every image named in a text of many words; where `is_image`, a key before all of it says image. `found` is told
/// the line, counted from 0, and the word.
pub(super) fn within(text: &str, is_image: bool, found: &mut dyn FnMut(u64, &str, Guess)) {
    each_word(text, &mut |word| {
        let says_image = is_image_key(word.key) || (is_image && word.key.is_empty());
        match whole(word.value, says_image) {
            // In running text only unmistakable images count; `image is` is not one.
            Guess::Image(_) | Guess::Untagged(_) if !is_image && !word.value.contains(['/', ':', '@']) => {}
            Guess::Unclear(_) if !word.value.contains(['/', '$']) => {}
            Guess::Nothing => {}
            guess => found(word.line, word.value, guess),
        }
    });
    for (number, line) in (0..).zip(text.lines()) {
        let names_a_template = line.split_once("{{").is_some_and(|(before, _)| {
            let key = before.trim_end_matches(['"', '\'', ' ']).strip_suffix([':', '=']);
            key.is_some_and(|key| is_image_key(key.rsplit([' ', '-', '"']).next().unwrap_or_default()))
        });
        if names_a_template && !says_something_else(line) {
            let why = format!("{:?} is a template that was not rendered", short(line.trim()));
            found(number, line, Guess::Unclear(why));
        }
    }
}

/// The values of parts: those of each line with several (`--image a --tag 1`), and those of all other lines together
/// (`IMAGE=a` in one, `IMAGE_TAG=1` in another).
pub(super) fn values(text: &str) -> Vec<Vec<Value>> {
    let mut lines: Vec<Vec<Value>> = Vec::new();
    let mut count = 0;
    each_word(text, &mut |Word { line, key, value, is_joined }| {
        if count < MAX_VALUES && (is_joined || key.starts_with('-')) && Role::of(key).is_some() {
            count += 1;
            let one = Value { line, key: key.to_owned(), text: value.to_owned() };
            match lines.last_mut().filter(|last| last.last().is_some_and(|last| last.line == line)) {
                Some(last) => last.push(one),
                None => lines.push(vec![one]),
            }
        }
    });
    let (several, single): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.len() > 1);
    several.into_iter().chain([single.concat()]).collect()
}

fn each_word(text: &str, look: &mut dyn FnMut(Word<'_>)) {
    for (number, line) in (0..).zip(text.lines()) {
        let line = with_defaults(line);
        let mut before = "";
        for word in line.split(is_joint) {
            let word = word.trim_end_matches(['.', ',', ';', ':', '\\']).trim_start_matches('@');
            if word.is_empty() {
                continue;
            }
            let (mut key, mut is_joined) = (before, false);
            for value in word.split('=') {
                look(Word { line: number, key, value, is_joined });
                (key, is_joined) = (value, true);
            }
            // A key is meant for the word after it, and for no other.
            let is_key = word.len() < MAX_KEY && word.chars().all(is_part_of_a_key);
            before = if is_key && (is_image_key(word) || word.starts_with('-')) { word } else { "" };
        }
    }
}

/// `--proxy-image`, `app.image=`.
fn is_part_of_a_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.=".contains(c)
}

/// Separators between words. `=` and `:` are parts of words.
fn is_joint(c: char) -> bool {
    c.is_whitespace() || "\"'`,;()[]{}|<>&".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn images_are_found_among_other_words() {
        let text = r#"run --image=r.io/a:1 --retries=3, then (docker pull org/b:1.2.3); see http://x.io/y:1
{"containers":[{"image":"nginx:1.25","name":"web"}]} at 10:30, image is ready
image: "{{ .Values.image }}:{{ .Values.tag }}"
    image: r.io/C:1
export IMAGE=org/c && kafka:9092
IMAGE=${IMAGE:-quay.io/org/d:2}"#;
        let mut found = Vec::new();
        within(text, false, &mut |line, _, guess| {
            found.push(match guess {
                Guess::Image(reference) => format!("{line} {reference}"),
                Guess::Untagged(reference) => format!("{line} ? {reference}, untagged"),
                Guess::Artifact(why) | Guess::Unclear(why) => format!("{line} ? {why}"),
                Guess::Nothing => unreachable!("nothing is nothing to tell"),
            });
        });
        insta::assert_snapshot!(found.join("\n"));
    }

    #[test]
    fn queries_and_alerts_make_no_noise() {
        let mut found = Vec::new();
        let text = "sum(kube_pod_container_info{image!=\"\", image=~\"registry.k8s.io/pause:.*\"}) by (image)\n\
                    image: {{ $labels.image }}\nImage {{ $labels.image }} of $labels.image is $value old\n";
        within(text, false, &mut |_, _, guess| found.push(guess));
        assert_eq!(found, []);
    }

    #[test]
    fn values_of_one_line_or_of_many_belong_together() {
        let text = "run --a-image x/a --a-image-tag 1\nexport B_IMAGE=x/b\nother=1\nB_IMAGE_TAG=2\n";
        let shown: Vec<Vec<String>> = values(text)
            .into_iter()
            .map(|group| group.into_iter().map(|one| format!("{} {}", one.key, one.text)).collect())
            .collect();
        assert_eq!(
            shown,
            [["--a-image x/a", "--a-image-tag 1"], ["B_IMAGE x/b", "B_IMAGE_TAG 2"]]
                .map(|group| group.to_vec())
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", is_image in any::<bool>()) {
            within(&text, is_image, &mut |_, _, _| {});
            let _ = values(&text);
        }
    }
}
