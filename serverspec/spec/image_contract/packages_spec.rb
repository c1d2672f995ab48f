# frozen_string_literal: true

# The package system of a machine booted from the image is whole: packages can
# still be installed, and no cache came along.

# Caches and old copies that came along; first, since what follows here makes some anew.
describe command("find /var/cache/apt /var/lib/apt/lists /var/cache/debconf /var/lib/dpkg -type f " \
                 "\\( -path '/var/cache/apt/*' -o -path '/var/lib/apt/lists/*' -o -name '*-old' \\) ! -name lock #{BEFORE_BOOT}") do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

describe command('dpkg --audit') do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

describe command('apt-get check -qq') do
  its(:exit_status) { is_expected.to eq 0 }
end

# A real install and removal, of an empty package made on the spot: dpkg reads
# its overrides, users and diversions only then.
PROOF = <<~SH
  set -e
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/proof/DEBIAN"
  printf 'Package: image-contract-proof\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <nobody@localhost>\\nDescription: proof\\n' >"$work/proof/DEBIAN/control"
  dpkg-deb --build "$work/proof" "$work/proof.deb" >/dev/null
  dpkg -i "$work/proof.deb" >/dev/null
  dpkg -P image-contract-proof >/dev/null
  echo INSTALLED
SH

describe command(PROOF) do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq "INSTALLED\n" }
  its(:stderr) { is_expected.to eq '' }
end
