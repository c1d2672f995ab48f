# frozen_string_literal: true

describe 'any.example.com' do
  let(:facts) { { 'role' => 'web' } }

  it { is_expected.to compile.with_all_deps }
  it { is_expected.to contain_class('role::web') }

  context 'without a role' do
    let(:facts) { {} }

    it { is_expected.to contain_class('role::web') }
  end

  context 'with a role that is not there' do
    let(:facts) { { 'role' => 'nonesuch' } }

    it { is_expected.to compile.and_raise_error(/nonesuch/) }
  end
end
