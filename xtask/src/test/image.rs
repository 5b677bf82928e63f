// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The live image.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context as _, Result};

use super::answers::{compare, script, PROMPTS};
use super::{Found, Lab};
use crate::iso::guest::{Firmware, Medium};
use crate::iso::live;
use crate::model;
use crate::setup::{self, Purpose};

/// The most bytes that it may have with SmolLM2.
const MOST: usize = 250_000_000;
/// The address that QEMU's network gives to the first who asks.
const ADDRESS: &str = "10.0.2.15";

/// It is small, the same each time, boots by both firmwares from both media, and answers as the host engine does.
pub(super) fn live_image(lab: &Lab<'_>) -> Result<Found> {
    setup::ensure_for(lab.cx, Purpose::Images)?;
    let model = model::find(lab.cx, None)?;
    let image = live::make(lab.cx, lab.source, &model, None)?;
    let mut found = Found::default();
    let bytes = fs::read(&image)?;
    let small = (bytes.len() < MOST).then_some(());
    let size = || format!("it has {} bytes", bytes.len());
    found.test("size", small.with_context(size));
    let again = image.with_extension("again.iso");
    live::make(lab.cx, lab.source, &model, Some(&again))?;
    let same = (bytes == fs::read(&again)?).then_some(());
    fs::remove_file(again)?;
    found.test("twice", same.context("the second image has other bytes"));

    let asked = (&PROMPTS[..1], 8);
    // The address may take a while; the answers are compared to the end.
    let script = format!(
        "until ip address | grep -q {ADDRESS}/24; do sleep 1; done; {}",
        script(asked.0, asked.1)
    );
    let ways = [
        (Firmware::Bios, Medium::Disc),
        (Firmware::Bios, Medium::Stick),
        (Firmware::Uefi, Medium::Disc),
        (Firmware::Uefi, Medium::Stick),
    ];
    for (firmware, medium) in ways {
        let said = live::exec(lab.cx, (&image, &model), (firmware, medium), &script);
        let name = format!("{firmware:?} from a {medium:?}");
        match said.and_then(|said| {
            found.test(&format!("{name}: the screen"), written(&said.screen));
            compare(lab, &model, asked, &said.output)
        }) {
            Ok(compared) => found.add(compared),
            Err(error) => found.test(&name, Err(error)),
        }
    }
    Ok(found)
}

/// Whether a picture, in the format PPM, has text on it: something, and much less of it than of the ground.
fn written(picture: &Path) -> Result<()> {
    let bytes = fs::read(picture)?;
    // Three words in front of the pixels: the format, width and height, the brightest value.
    let pixels = bytes.splitn(4, |&byte| byte == b'\n').nth(3);
    let pixels = pixels.with_context(|| format!("{} is no picture", picture.display()))?;
    let bright = pixels.iter().filter(|&&value| value > 0x60).count();
    let share = bright as f64 / pixels.len().max(1) as f64;
    if !(0.001..0.2).contains(&share) {
        bail!(
            "{} is bright at {:.2} % of its area, which text is not",
            picture.display(),
            share * 100.0
        );
    }
    Ok(())
}
