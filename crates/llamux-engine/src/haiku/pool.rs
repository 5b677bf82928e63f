// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The haiku that are there before a model has written any.

use super::Kind;

/// Those that were written by hand for a kind.
pub fn built_in(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Null => &[
            "nothing at the gate\ni followed it all the same\nthe door was not there",
            "the page was not there\nthe map ends where i begin\nwhite snow and no path",
            "a hand in the dark\nreaches for the rail of stairs\nthat nobody built",
            "empty as the moon\nthe pointer smiled and said go\nthere was no one there",
        ],
        Kind::Memory => &[
            "the well has run dry\nwe drank the last page by noon\ndust sings in the pail",
            "no more room tonight\nthe inn is full of old names\nsnow falls on the rest",
            "i gave it all up\nleaf by leaf until the tree\nstood bare in the rain",
            "each bowl has been filled\nthe guests are still at the door\nthe kitchen is dark",
        ],
        Kind::Lockup => &[
            "the clock has stopped here\none monk turns and turns the wheel\nno bell calls him home",
            "round and round the pond\nthe same carp swims the same ring\nwinter holds the gate",
            "i waited for you\nand you were waiting for me\nthe lock has two keys",
            "a loop without end\nthe lamp burns and no one reads\nmorning does not come",
        ],
        Kind::Hung => &[
            "the boat did not come\nhe sits on the shore and waits\ngrass grows through his shoes",
            "two minutes have passed\nthe disk has not said a word\nsnow on the mailbox",
            "a promise of soon\nthe letter is on its way\nthe stamp has grown old",
            "asleep in the snow\nthe signal cannot wake him\nno one knocks again",
        ],
        Kind::Bug => &[
            "this could never be\nthe comment said so itself\nand here we all are",
            "i was so certain\na line of code once told me\nthe moth found the light",
            "a cricket inside\nthe wall i built with such care\nsings the whole night through",
            "assert and be still\nthe river goes where it goes\ntruth was on this bank",
        ],
        Kind::Generic => &[
            "the leaves let go now\na kernel falls to the ground\nrain waits for the seed",
            "all the lights go out\nthe last one to leave was me\ni forgot the key",
            "a trace in the snow\neach step leads back to the first\nthen wind takes them all",
            "cold blue of morning\nthe fan slows and then is still\na bird starts to sing",
            "all that was running\nruns no more tonight my friend\npower off and sleep",
        ],
    }
}
