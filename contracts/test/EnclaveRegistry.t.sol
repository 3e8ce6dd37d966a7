// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EnclaveRegistry} from "../src/EnclaveRegistry.sol";
import {OperatorRegistry} from "../src/OperatorRegistry.sol";
import {IDcapVerifier} from "../src/interfaces/IDcapVerifier.sol";
import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {QuorumVerifier} from "../src/verifiers/QuorumVerifier.sol";
import {EnclaveDeployment} from "./EnclaveDeployment.sol";
import {vm} from "./Vm.sol";

interface IRandao {
    function prevrandao(bytes32 value) external;
}

/// @title A key is attested once, for one operator, on one registry, for a time
contract EnclaveRegistryTest is EnclaveDeployment {
    // ---- the truth ------------------------------------------------------------------------------------------------

    function test_AnAttestedKeyIsValidUntilItExpires() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        vm.expectEmit(address(enclaves));
        emit IEnclaveRegistry.EnclaveRegistered(
            it.key, it.operator, it.platform, it.measurement, it.runtimeDigest, it.quoteDigest, it.expiresAt
        );
        register(it, signedByOthers(it));

        (address operator, bool isSimulated) = enclaves.requireValid(it.key);
        vm.assertEq(operator, operatorAt(0));
        vm.assertEq(isSimulated, false);
        vm.assertEq(enclaves.operatorOf(it.key), operatorAt(0));
        IEnclaveRegistry.Key memory known = enclaves.keyOf(it.key);
        vm.assertEq(known.measurement, it.measurement);
        vm.assertEq(known.runtimeDigest, it.runtimeDigest);
        vm.assertEq(known.quoteDigest, it.quoteDigest);
        vm.assertEq(uint256(known.platform), TDX);

        vm.warp(it.expiresAt - 1);
        enclaves.requireValid(it.key);
        vm.warp(it.expiresAt);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyExpired.selector, it.key, it.expiresAt));
        enclaves.requireValid(it.key);
    }

    function test_ASimulatedKeyIsMarked() public {
        IEnclaveRegistry.Attestation memory it = attest(0, SIMULATED);
        register(it, signedByOthers(it));
        (, bool isSimulated) = enclaves.requireValid(it.key);
        vm.assertEq(isSimulated, true);
        vm.assertEq(uint256(enclaves.keyOf(it.key).platform), 255);
    }

    function test_AKeyIsRenewedByItsOperator() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        vm.warp(it.expiresAt + 5);
        IEnclaveRegistry.Attestation memory again = attest(0, TDX);
        vm.assertTrue(again.nonce != it.nonce, "a nonce twice");
        register(again, signedByOthers(again));
        vm.assertEq(uint256(enclaves.keyOf(it.key).expiresAt), uint256(again.expiresAt));
        enclaves.requireValid(it.key);
    }

    function test_MoreSignersThanDemandedAreFine() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedBy(enclaves.computeAttestationDigest(it), 1, 5));
        enclaves.requireValid(it.key);
    }

    function test_ReportDataBindsEverything() public {
        bytes32 nonce = begin(0);
        bytes32 expected = keccak256(
            abi.encode(
                keccak256("affidavit.enclave.report-data.v1"),
                block.chainid,
                address(enclaves),
                operatorAt(0),
                enclaveKey(0),
                RUNTIME,
                nonce
            )
        );
        vm.assertEq(enclaves.computeReportData(operatorAt(0), enclaveKey(0), RUNTIME, nonce), expected);
    }

    /// @dev What is in docs/enclaves.md.
    function test_WhatRegisteringCosts() public {
        begin(0);
        vm.snapshotGasLastCall("Enclaves", "begin");
        (bytes32 nonce,) = enclaves.nonceOf(operatorAt(0));
        IEnclaveRegistry.Attestation memory it = attestation(0, TDX, nonce);
        register(it, signedByOthers(it));
        vm.snapshotGasLastCall("Enclaves", "register, quorum of 2");
    }

    // ---- who signs ------------------------------------------------------------------------------------------------

    function test_FewerThanTheQuorumAreNotEnough() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory one = signedBy(enclaves.computeAttestationDigest(it), 1, 1);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotMet.selector, uint256(QUORUM_SIZE), uint256(1)));
        register(it, one);
    }

    function test_NobodySignsForItself() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes32 digest = enclaves.computeAttestationDigest(it);
        for (uint256 count = QUORUM_SIZE; count <= 4; ++count) {
            bytes memory data = signedBy(digest, 0, count);
            vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.SignedForItself.selector, operatorAt(0)));
            register(it, data);
        }
    }

    function test_ALeavingOperatorsSignatureDoesNotCount() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        vm.prank(operatorAt(1));
        operators.beginExit();
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, seatIndexOf(1)));
        register(it, data);
    }

    function test_SignaturesWithHighSAreRefused() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes32 digest = enclaves.computeAttestationDigest(it);
        bytes memory data = bytes.concat(
            bytes32(uint256(1) << 10 | uint256(1) << 20), highS(keyOf(1), digest), signDigest(keyOf(2), digest)
        );
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        register(it, data);
    }

    /// @dev Each field is signed: whoever changes one after the operators have signed has signatures of something else.
    function test_EveryFieldIsSigned() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        for (uint256 field; field < 6; ++field) {
            IEnclaveRegistry.Attestation memory lie = attestation(0, TDX, it.nonce);
            if (field == 0) lie.key = enclaveKey(77);
            if (field == 1) lie.platform = SIMULATED;
            if (field == 2) lie.measurement = keccak256("another");
            if (field == 3) lie.runtimeDigest = keccak256("another");
            if (field == 4) lie.quoteDigest = keccak256("another");
            if (field == 5) lie.expiresAt += 1;
            vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
            register(lie, data);
        }
        register(it, data);
    }

    // ---- replay ---------------------------------------------------------------------------------------------------

    function test_AnAttestationIsUsedOnce() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        register(it, data);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NonceUnknown.selector, operatorAt(0), it.nonce));
        register(it, data);
        begin(0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NonceUnknown.selector, operatorAt(0), it.nonce));
        register(it, data);
    }

    function test_ANonceThatWasDrawnAgainIsGone() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        begin(0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NonceUnknown.selector, operatorAt(0), it.nonce));
        register(it, data);
    }

    function test_NothingIsRegisteredThatWasNotBegun() public {
        IEnclaveRegistry.Attestation memory it = attestation(0, TDX, bytes32(0));
        bytes memory data = signedByOthers(it);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NonceUnknown.selector, operatorAt(0), bytes32(0)));
        register(it, data);
    }

    function test_ANonceGetsOld() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        (bytes32 nonce, uint64 until) = enclaves.nonceOf(operatorAt(0));
        vm.assertEq(nonce, it.nonce);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NonceOld.selector, until));
        register(it, data);
        vm.warp(until);
        register(it, data);
    }

    function test_AnAttestationOfAnotherChainIsRefused() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        vm.chainId(4242);
        bytes memory elsewhere = signedByOthers(it);
        vm.chainId(31337); // not block.chainid, which the optimizer reads once
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        register(it, elsewhere);
    }

    function test_AnAttestationForAnotherRegistryIsRefused() public {
        EnclaveRegistry other =
            new EnclaveRegistry(OperatorRegistry(address(operators)), quorum, QUORUM_SIZE, IDcapVerifier(address(0)));
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedBy(other.computeAttestationDigest(it), 1, QUORUM_SIZE);
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        register(it, data);
    }

    function test_NoncesOfOperatorsDiffer() public {
        bytes32 mine = begin(0);
        bytes32 theirs = begin(1);
        bytes32 again = begin(0);
        vm.assertTrue(mine != theirs && mine != again && theirs != again, "a nonce twice");
    }

    /// @dev The same call in the same state: what it draws is not known before its block is.
    function test_ANonceIsOfItsBlock() public {
        uint256 before = vm.snapshotState();
        bytes32 drawn = begin(0);
        vm.revertToState(before);
        vm.assertEq(begin(0), drawn);
        vm.revertToState(before);
        IRandao(address(vm)).prevrandao(keccak256("another beacon"));
        vm.assertTrue(begin(0) != drawn, "not of its beacon");
        vm.revertToState(before);
        vm.roll(77);
        vm.assertTrue(begin(0) != drawn, "not of the block before");
    }

    // ---- front-running --------------------------------------------------------------------------------------------

    function test_WhoSeesARegistrationWaitingCannotMakeIt() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        begin(1);
        vm.prank(operatorAt(1));
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NotTheOperator.selector, operatorAt(0), operatorAt(1)));
        enclaves.register(it, data);

        // In the thief's own name nobody signed it.
        it.operator = operatorAt(1);
        vm.prank(operatorAt(1));
        vm.expectPartialRevert(IEnclaveRegistry.NonceUnknown.selector);
        enclaves.register(it, data);
        it.nonce = begin(1);
        vm.prank(operatorAt(1));
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        enclaves.register(it, data);
    }

    function test_AKeyIsOneOperatorsForEver() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        vm.warp(it.expiresAt + 1);
        IEnclaveRegistry.Attestation memory thief = attest(1, TDX);
        thief.key = it.key;
        bytes memory data = signedBy(enclaves.computeAttestationDigest(thief), 2, QUORUM_SIZE);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyTaken.selector, it.key, operatorAt(0)));
        register(thief, data);
    }

    function test_ASigningKeyIsNoEnclaves() public {
        for (uint256 i; i < 2; ++i) {
            IEnclaveRegistry.Attestation memory it = attest(0, TDX);
            it.key = vm.addr(keyOf(i));
            bytes memory data = signedByOthers(it);
            vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyIsOperators.selector, it.key));
            register(it, data);
        }
    }

    // ---- shape ----------------------------------------------------------------------------------------------------

    function test_OnlyKnownPlatformsAreRegistered() public {
        for (uint256 platform; platform < 256; ++platform) {
            IEnclaveRegistry.Attestation memory it = attest(0, uint8(platform));
            bytes memory data = signedByOthers(it);
            bool isKnown = (platform > 0 && platform < 5) || platform == 255;
            if (!isKnown) {
                vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.PlatformUnknown.selector, uint8(platform)));
            }
            register(it, data);
        }
    }

    function test_TheZeroAddressIsNoKey() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        it.key = address(0);
        bytes memory data = signedByOthers(it);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, address(0)));
        register(it, data);
    }

    function testFuzz_AnExpiryIsAheadAndNotTooFar(uint64 expiresAt) public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        it.expiresAt = expiresAt;
        bytes memory data = signedByOthers(it);
        uint64 earliest = uint64(block.timestamp) + 1;
        uint64 latest = uint64(block.timestamp) + 30 days;
        if (expiresAt < earliest || expiresAt > latest) {
            vm.expectRevert(
                abi.encodeWithSelector(IEnclaveRegistry.ExpiryOutOfRange.selector, earliest, latest, expiresAt)
            );
        }
        register(it, data);
    }

    function test_ExpiriesAtTheEdges() public {
        testFuzz_AnExpiryIsAheadAndNotTooFar(uint64(block.timestamp));
        testFuzz_AnExpiryIsAheadAndNotTooFar(uint64(block.timestamp) + 1);
        testFuzz_AnExpiryIsAheadAndNotTooFar(uint64(block.timestamp) + 30 days);
        testFuzz_AnExpiryIsAheadAndNotTooFar(uint64(block.timestamp) + 30 days + 1);
    }

    function test_ARegistryWithoutAQuorumIsNotBuilt() public {
        OperatorRegistry registry = OperatorRegistry(address(operators));
        vm.expectRevert(IEnclaveRegistry.NoQuorum.selector);
        new EnclaveRegistry(registry, quorum, 0, IDcapVerifier(address(0)));
    }

    // ---- operators who are not active -----------------------------------------------------------------------------

    function test_AStrangerBeginsNothing() public {
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.NotSeated.selector, address(this)));
        enclaves.begin();
    }

    function test_ALeavingOperatorBeginsAndRegistersNothing() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        bytes memory data = signedByOthers(it);
        quit(0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OperatorNotActive.selector, operatorAt(0)));
        register(it, data);
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OperatorNotActive.selector, operatorAt(0)));
        enclaves.begin();
    }

    function test_TheKeyOfALeavingOperatorCountsForNothing() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        it.expiresAt = uint64(block.timestamp) + 30 days;
        register(it, signedByOthers(it));
        quit(0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OperatorNotActive.selector, operatorAt(0)));
        enclaves.requireValid(it.key);
        vm.warp(block.timestamp + UNBONDING_SECONDS);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(operatorAt(0)));
        vm.expectPartialRevert(IOperatorRegistry.NotSeated.selector);
        enclaves.requireValid(attestation(0, TDX, 0).key);
    }

    function test_TheKeyOfASlashedOperatorCountsForNothing() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        vm.prank(OWNER);
        operators.setSlasher(address(this));
        operators.slash(operatorAt(0), 1, address(this));
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.OperatorNotActive.selector, operatorAt(0)));
        enclaves.requireValid(it.key);
    }

    // ---- revocation -----------------------------------------------------------------------------------------------

    function test_AnOperatorRevokesItsKey() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        vm.expectEmit(address(enclaves));
        emit IEnclaveRegistry.EnclaveRevoked(it.key, operatorAt(0), "stolen", true);
        vm.prank(operatorAt(0));
        enclaves.revoke(it.key, "stolen");
        requireRevokedForEver(it.key);
    }

    function test_AnOperatorThatLeavesStillRevokes() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        quit(0);
        vm.prank(operatorAt(0));
        enclaves.revoke(it.key, 0);
        vm.assertTrue(enclaves.keyOf(it.key).isRevoked, "not revoked");
    }

    function test_NobodyElseRevokes() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        vm.prank(operatorAt(1));
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.NotTheOperator.selector, operatorAt(0), operatorAt(1)));
        enclaves.revoke(it.key, 0);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, address(1)));
        enclaves.revoke(address(1), 0);
    }

    function test_AQuorumRevokesWhoeverSubmits() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        bytes memory data = signedBy(enclaves.computeRevocationDigest(it.key, "broken"), 1, QUORUM_SIZE);
        vm.expectEmit(address(enclaves));
        emit IEnclaveRegistry.EnclaveRevoked(it.key, operatorAt(0), "broken", false);
        vm.prank(address(0xE7E));
        enclaves.revokeByQuorum(it.key, "broken", data);
        requireRevokedForEver(it.key);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyRevoked.selector, it.key));
        enclaves.revokeByQuorum(it.key, "broken", data);
    }

    function test_ARevocationIsOfOneKeyForOneReasonHere() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        IEnclaveRegistry.Attestation memory other = attest(1, TDX);
        register(other, signedBy(enclaves.computeAttestationDigest(other), 2, QUORUM_SIZE));
        bytes memory data = signedBy(enclaves.computeRevocationDigest(it.key, "broken"), 1, QUORUM_SIZE);
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        enclaves.revokeByQuorum(other.key, "broken", data);
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        enclaves.revokeByQuorum(it.key, "another", data);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, address(5)));
        enclaves.revokeByQuorum(address(5), "broken", data);
        bytes memory few = signedBy(enclaves.computeRevocationDigest(it.key, "broken"), 1, 1);
        vm.expectPartialRevert(QuorumVerifier.QuorumNotMet.selector);
        enclaves.revokeByQuorum(it.key, "broken", few);
        // An attestation of the key is no revocation of it.
        bytes memory attested = signedByOthers(it);
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        enclaves.revokeByQuorum(it.key, "broken", attested);
    }

    function test_AnUnknownKeyIsNotValid() public {
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyUnknown.selector, address(9)));
        enclaves.requireValid(address(9));
        vm.assertEq(enclaves.operatorOf(address(9)), address(0));
    }

    function requireRevokedForEver(address key) private {
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyRevoked.selector, key));
        enclaves.requireValid(key);
        IEnclaveRegistry.Attestation memory again = attest(0, TDX);
        bytes memory data = signedByOthers(again);
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyRevoked.selector, key));
        register(again, data);
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IEnclaveRegistry.KeyRevoked.selector, key));
        enclaves.revoke(key, 0);
    }
}
