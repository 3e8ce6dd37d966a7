// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {Claim, EvidenceKind} from "../src/libraries/Types.sol";
import {EnclaveVerifier} from "../src/verifiers/EnclaveVerifier.sol";
import {EnclaveDeployment} from "./EnclaveDeployment.sol";
import {vm} from "./Vm.sol";

/// @title One signature of an attested key, and nothing else
contract EnclaveVerifierTest is EnclaveDeployment {
    bytes32 private constant DIGEST = keccak256("a claim");
    bytes32 private constant REAL = bytes32(bytes3(0x010102)); // a signature and an enclave
    bytes32 private constant ANY = bytes32(bytes3(0x010106)); // one that may be simulated

    function setUp() public override {
        super.setUp();
        registered(0, TDX);
        registered(1, SIMULATED);
    }

    function test_NamesItself() public view {
        vm.assertTrue(enclave.kind() == EvidenceKind.ENCLAVE, "kind");
        vm.assertEq(bytes32(enclave.selector()), bytes32(bytes4(keccak256("affidavit.verifier.enclave.v1"))));
    }

    function test_AnEnclavesSignatureIsAcceptedAndItsOperatorPaid() public view {
        for (uint256 i; i < 2; ++i) {
            address[] memory paid = verify(ANY, signature(i));
            vm.assertEq(paid.length, 1);
            vm.assertEq(paid[0], operatorAt(i));
        }
        vm.assertEq(verify(REAL, signature(0))[0], operatorAt(0));
    }

    function test_WhatASignatureCosts() public {
        verify(REAL, signature(0));
        vm.snapshotGasLastCall("Enclaves", "verify one signature");
    }

    function test_ASimulatedEnclaveCountsOnlyWhereThePolicySaysSo() public {
        bytes memory data = signature(1);
        verify(ANY, data);
        vm.expectRevert(abi.encodeWithSelector(EnclaveVerifier.SimulatedEnclave.selector, enclaveKey(1)));
        verify(REAL, data);
    }

    function test_APolicyThatDemandsNoEnclaveIsNotForThisVerifier() public {
        bytes memory data = signature(0);
        for (uint256 flags; flags < 256; ++flags) {
            bytes32 policy = bytes32(abi.encodePacked(uint8(1), uint8(1), uint8(flags), bytes29(0)));
            if (flags & 2 == 0) {
                vm.expectRevert(abi.encodeWithSelector(EnclaveVerifier.NoEnclaveDemanded.selector, policy));
            }
            verify(policy, data);
        }
    }

    function test_EveryTruncationAndExtensionIsRefused() public {
        bytes memory data = signature(0);
        for (uint256 size; size < data.length; ++size) {
            bytes memory cut = bytes.concat(data);
            assembly {
                mstore(cut, size)
            }
            vm.expectRevert(abi.encodeWithSelector(EnclaveVerifier.EvidenceLength.selector, uint256(65), size));
            verify(REAL, cut);
        }
        vm.expectRevert(abi.encodeWithSelector(EnclaveVerifier.EvidenceLength.selector, uint256(65), uint256(66)));
        verify(REAL, bytes.concat(data, hex"00"));
        vm.expectRevert(abi.encodeWithSelector(EnclaveVerifier.EvidenceLength.selector, uint256(65), uint256(130)));
        verify(REAL, bytes.concat(data, data));
    }

    function test_EveryBitOfASignatureCounts() public view {
        bytes memory data = signature(0);
        for (uint256 bit; bit < 520; ++bit) {
            bytes memory changed = bytes.concat(data);
            changed[bit / 8] = bytes1(uint8(changed[bit / 8]) ^ uint8(1 << (bit % 8)));
            requireRefused(REAL, DIGEST, changed);
        }
    }

    function test_TheHighSTwinIsRefused() public {
        bytes memory twin = highS(enclaveSecret(0), DIGEST);
        vm.expectRevert(EnclaveVerifier.BadSignature.selector);
        verify(REAL, twin);
    }

    function test_ZeroSignaturesNameNobody() public {
        vm.expectRevert(EnclaveVerifier.BadSignature.selector);
        verify(REAL, new bytes(65));
    }

    function test_AnOperatorsOwnKeyIsNoEnclave() public {
        bytes memory data = signDigest(keyOf(0), DIGEST);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, vm.addr(keyOf(0))));
        verify(REAL, data);
    }

    function testFuzz_ASignatureIsOfOneClaim(bytes32 other) public view {
        vm.assume(other != DIGEST);
        requireRefused(REAL, other, signature(0));
    }

    function test_AnExpiredKeyIsRefused() public {
        bytes memory data = signature(0);
        uint64 expiresAt = enclaves.keyOf(enclaveKey(0)).expiresAt;
        vm.warp(expiresAt);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyExpired.selector, enclaveKey(0), expiresAt));
        verify(REAL, data);
    }

    function test_ARevokedKeyIsRefused() public {
        bytes memory data = signature(0);
        vm.prank(operatorAt(0));
        enclaves.revoke(enclaveKey(0), 0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyRevoked.selector, enclaveKey(0)));
        verify(REAL, data);
    }

    function test_TheKeyOfAnExitedOperatorIsRefused() public {
        bytes memory data = signature(0);
        quit(0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OperatorNotActive.selector, operatorAt(0)));
        verify(REAL, data);
    }

    function testFuzz_RandomBytesAreRefusedWithAReason(bytes calldata data) public view {
        requireRefused(ANY, DIGEST, data);
    }

    function registered(uint256 i, uint8 platform) private {
        IEnclaveRegistry.Attestation memory it = attest(i, platform);
        register(it, signedBy(enclaves.computeAttestationDigest(it), 2, QUORUM_SIZE));
    }

    function signature(uint256 i) private pure returns (bytes memory) {
        return signDigest(enclaveSecret(i), DIGEST);
    }

    function verify(bytes32 policy, bytes memory data) private view returns (address[] memory) {
        return enclave.verify(Claim(0, 0, 0, 0), DIGEST, policy, "", "", data);
    }

    function requireRefused(bytes32 policy, bytes32 digest, bytes memory data) private view {
        try enclave.verify(Claim(0, 0, 0, 0), digest, policy, "", "", data) returns (address[] memory) {
            vm.assertTrue(false, "accepted a lie");
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
        }
    }
}
