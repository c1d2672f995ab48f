# frozen_string_literal: true

describe 'teamcity::java' do
  it { is_expected.to compile.with_all_deps }
  it { is_expected.to contain_package('openjdk-17-jre-headless').that_requires('File[/usr/share/man/man1]') }

  context 'with another package' do
    let(:params) { { package: 'java-21' } }

    it { is_expected.to contain_package('java-21') }
  end
end
