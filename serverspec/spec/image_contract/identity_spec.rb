# frozen_string_literal: true

# A machine booted from the image has an identity of its own: what the machine
# that was baked was, knew or logged has not come along.

describe command('cat /etc/machine-id') do
  its(:stdout) { is_expected.to match(/\A[0-9a-f]{32}\n\z/) }
end

# systemd touches a machine-id it finds, so here what was written counts.
describe command("find /etc/machine-id #{BEFORE_BOOT.sub('newerct', 'newermt')}") do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

# Made since this boot, hence not part of the image.
describe command("find /etc/ssh/ssh_host_*_key #{BEFORE_BOOT}") do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

describe command('ls /etc/ssh/ssh_host_*_key') do
  its(:stdout) { is_expected.not_to eq '' }
end

# The key this machine was started with and no other: at most one for each user.
describe command("for f in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do [ ! -f $f ] || grep -cv '^[[:space:]]*\\(#\\|$\\)' $f; done") do
  its(:stdout) { is_expected.to match(/\A([01]\n)*\z/) }
end

describe command("find /root /home -name '*.pem' -o -name 'id_*' -o -name known_hosts -o -name .bash_history -o -name .netrc -o -name credentials") do
  its(:stdout) { is_expected.to eq '' }
end

# Keys that came along; those that a machine makes for itself are looked for by the
# inspection, which knows which may be.
describe command("grep -rlE -- '-----BEGIN ([A-Z]+ )?PRIVATE KEY-----' /etc /home /root /opt /srv /usr/local /var 2>/dev/null | " \
                 "while read -r file; do find \"$file\" #{BEFORE_BOOT}; done") do
  its(:stdout) { is_expected.to eq '' }
end

# No password opens anything.
describe command("awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow") do
  its(:stdout) { is_expected.to eq '' }
end

# Old copies of the account files; the first boot may make new ones.
describe command("find /etc/*- -type f #{BEFORE_BOOT}") do
  its(:stdout) { is_expected.to eq '' }
end

# Names of the machine that was baked, in what the image brought to serve.
describe command('grep -rhoE "ip-[0-9]+-[0-9]+-[0-9]+-[0-9]+" /etc/apache2 /var/www /etc/systemd /etc/mailname /etc/motd 2>/dev/null') do
  its(:stdout) { is_expected.to eq '' }
end

describe command('ls -d /var/lib/cloud/instances/*/ | wc -l') do
  its(:stdout) { is_expected.to eq "1\n" }
end
