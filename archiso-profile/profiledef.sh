#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The installation image, as archiso makes it (docs/README.profile.rst of archiso 88 says what each variable is).
# `cargo xtask iso` makes it of a copy of this directory, into which it puts our repository and the models.
#
# For UEFI it is GRUB that boots, not systemd-boot: that one reads nothing but its own partition, where kernel,
# initramfs and models would be a second time, and the models are most of the image. GRUB 2.12 and newer leave it to
# the kernel's own start to find room for the initrd; older ones have but the first GiB for it.

# shellcheck disable=SC2034
iso_name="llamux"
iso_label="LLAMUX_$(date --utc --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y%m)"
iso_publisher="Llamux"
iso_application="Llamux, to try and to install"
iso_version="$(date --utc --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y.%m.%d)"
install_dir="llamux"
arch="x86_64"
buildmodes=('iso')
bootmodes=('bios.syslinux' 'uefi.grub')
pacman_conf="pacman.conf"
airootfs_image_type="squashfs"
airootfs_image_tool_options=('-comp' 'zstd' '-Xcompression-level' '15' '-b' '1M')
file_permissions=(
  ["/etc/shadow"]="0:0:400"
  ["/usr/local/bin/llamux-install"]="0:0:755"
)
