// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBlsKeys} from "../src/interfaces/IBlsKeys.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Claim, EvidenceKind, Request, Status} from "../src/libraries/Types.sol";
import {BlsQuorumVerifier} from "../src/verifiers/BlsQuorumVerifier.sol";
import {BlsDeployment} from "./BlsDeployment.sol";
import {vm} from "./Vm.sol";

/// @title k of the operators in one signature, or nobody
contract BlsQuorumVerifierTest is BlsDeployment {
    bytes32 private constant DIGEST = keccak256("a claim");

    function test_NamesItself() public view {
        vm.assertTrue(blsQuorum.kind() == EvidenceKind.QUORUM, "kind");
        vm.assertEq(bytes32(blsQuorum.selector()), bytes32(QUORUM_BLS));
    }

    function testFuzz_AnySetOfAtLeastKIsAcceptedAndPaidInOrder(uint8 members, uint8 k) public view {
        uint256 count = sizeOf(members);
        vm.assume(k != 0 && k <= count);
        address[] memory paid = verify(k, signedBy(members));
        vm.assertEq(paid.length, count);
        uint256 found;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((members >> i) & 1 == 1) vm.assertEq(paid[found++], operatorAt(i));
        }
    }

    function testFuzz_FewerThanKAreNotEnough(uint8 members, uint8 k) public {
        uint256 count = sizeOf(members);
        vm.assume(k > count && count != 0);
        bytes memory data = signedBy(members);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.QuorumNotMet.selector, k, count));
        verify(k, data);
    }

    function test_NobodyIsNoQuorum() public {
        vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.QuorumNotMet.selector, 1, 0));
        verify(1, new bytes(128));
    }

    function test_APolicyWithoutAQuorumIsNotForThisVerifier() public {
        bytes memory data = signedBy(3);
        vm.expectPartialRevert(BlsQuorumVerifier.NoQuorumDemanded.selector);
        verify(0, data);
    }

    function test_EveryOtherLengthIsRefused() public view {
        bytes memory data = signedBy(7);
        for (uint256 size; size < data.length; ++size) {
            bytes memory cut = bytes.concat(data);
            assembly {
                mstore(cut, size)
            }
            requireRefused(3, cut);
        }
        requireRefused(3, bytes.concat(data, hex"00"));
        requireRefused(3, bytes.concat(data, data));
        verify(3, data);
    }

    function test_NoBitCanBeFlipped() public view {
        bytes memory data = signedBy(7);
        for (uint256 i; i < 8 * data.length; ++i) {
            requireRefused(2, flipped(data, i));
        }
    }

    /// @dev Every other set of the eight than the one that signed.
    function test_EveryWrongBitmapIsRefused() public {
        bytes memory signature = signBls(addModOrder(secretOf(0), secretOf(1)), Bls.CLAIMS, DIGEST);
        for (uint256 members = 1; members < 1 << OPERATORS; ++members) {
            if (members == 3) continue;
            bytes memory data = bytes.concat(bytes32(bitmapOf(uint8(members))), signature);
            vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.WrongAggregate.selector, DIGEST));
            verify(1, data);
        }
    }

    function test_AnotherClaimsSignatureIsRefused() public {
        bytes memory data = blsData(keccak256("another claim"), 0, 2);
        vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.WrongAggregate.selector, DIGEST));
        verify(2, data);
    }

    function test_ASignatureCountedTwiceIsNotTwoSigners() public {
        bytes memory one = signBls(secretOf(0), Bls.CLAIMS, DIGEST);
        bytes memory data = bytes.concat(bytes32(bitmapOf(3)), addSignatures(one, one));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.WrongAggregate.selector, DIGEST));
        verify(2, data);
    }

    function test_APossessionIsNoVote() public {
        bytes memory data = bytes.concat(bytes32(bitmapOf(1)), signBls(secretOf(0), Bls.POSSESSIONS, DIGEST));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.WrongAggregate.selector, DIGEST));
        verify(1, data);
    }

    /// @dev Two colluding operators whose keys cancel out: infinity would be their signature of anything.
    function test_KeysThatCancelOutSignNothing() public {
        registerBlsAs(operatorAt(1), seatIndexOf(1), negated(secretOf(0)));
        bytes memory data = bytes.concat(bytes32(bitmapOf(3)), new bytes(96));
        vm.expectRevert(Bls.InfiniteSignature.selector);
        verify(2, data);
    }

    function test_ALeavingOperatorDoesNotCount() public {
        bytes memory data = signedBy(3);
        verify(2, data);
        vm.prank(operatorAt(1));
        operators.beginExit();
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, seatIndexOf(1)));
        verify(2, data);
    }

    function test_AReplacedKeyDoesNotCount() public {
        bytes memory data = signedBy(3);
        registerBlsAs(operatorAt(0), seatIndexOf(0), secretOf(50));
        vm.expectRevert(abi.encodeWithSelector(BlsQuorumVerifier.WrongAggregate.selector, DIGEST));
        verify(2, data);
    }

    function test_AnOperatorWithoutAKeyDoesNotCount() public {
        seat(9);
        bytes memory data = bytes.concat(bytes32(uint256(1 | 1 << 90)), signBls(secretOf(0), Bls.CLAIMS, DIGEST));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.NoBlsKey.selector, uint8(90)));
        verify(1, data);
    }

    function testFuzz_RandomBytesAreRefusedWithAReason(bytes calldata data) public view {
        requireRefused(1, data);
    }

    function test_ADeliveryIsMadeAndPaid() public {
        bytes memory output = new bytes(20);
        Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(3, 0), 1000, 0);
        coprocessor.deliver(asked, "", output, blsEvidenceOf(asked, output, 3));
        (Status status,,,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertTrue(status == Status.FINAL, "final");
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 334);
        vm.assertEq(coprocessor.balanceOf(operatorAt(2)), 333);
    }

    function verify(uint8 k, bytes memory data) private view returns (address[] memory) {
        return blsQuorum.verify(Claim(0, 0, 0, 0), DIGEST, quorumPolicy(k, 0), "", "", data);
    }

    function requireRefused(uint8 k, bytes memory data) private view {
        bytes32 policy = quorumPolicy(k, 0);
        try blsQuorum.verify{gas: 2_000_000}(Claim(0, 0, 0, 0), DIGEST, policy, "", "", data) returns (
            address[] memory
        ) {
            vm.assertTrue(false, "accepted a lie");
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
        }
    }

    function bitmapOf(uint8 members) private pure returns (uint256 bitmap) {
        for (uint256 i; i < OPERATORS; ++i) {
            bitmap |= uint256((members >> i) & 1) << seatIndexOf(i);
        }
    }

    function signedBy(uint8 members) private view returns (bytes memory) {
        uint256 secret;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((members >> i) & 1 == 1) secret = addModOrder(secret, secretOf(i));
        }
        return bytes.concat(bytes32(bitmapOf(members)), signBls(secret, Bls.CLAIMS, DIGEST));
    }

    function sizeOf(uint8 members) private pure returns (uint256 count) {
        for (; members != 0; members &= members - 1) {
            ++count;
        }
    }

    function flipped(bytes memory data, uint256 bit) private pure returns (bytes memory result) {
        result = bytes.concat(data);
        result[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }
}
