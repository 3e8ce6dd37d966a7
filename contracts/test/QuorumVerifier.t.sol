// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Claim, EvidenceKind} from "../src/libraries/Types.sol";
import {QuorumVerifier} from "../src/verifiers/QuorumVerifier.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title k of the operators, or nobody
contract QuorumVerifierTest is Deployment {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    bytes32 private constant DIGEST = keccak256("a claim");

    function test_NamesItself() public view {
        vm.assertTrue(quorum.kind() == EvidenceKind.QUORUM, "kind");
        vm.assertEq(bytes32(quorum.selector()), bytes32(QUORUM));
    }

    function testFuzz_AnySetOfAtLeastKIsAcceptedAndPaidInOrder(uint8 members, uint8 k) public view {
        uint256 count;
        for (uint8 set = members; set != 0; set &= set - 1) {
            ++count;
        }
        vm.assume(k != 0 && k <= count);
        address[] memory paid = verify(k, signedBy(members));
        vm.assertEq(paid.length, count);
        uint256 found;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((members >> i) & 1 == 1) vm.assertEq(paid[found++], operatorAt(i));
        }
    }

    function testFuzz_FewerThanKAreNotEnough(uint8 members, uint8 k) public {
        uint256 count;
        for (uint8 set = members; set != 0; set &= set - 1) {
            ++count;
        }
        vm.assume(k > count);
        bytes memory data = signedBy(members);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotMet.selector, k, count));
        verify(k, data);
    }

    function test_NobodyIsNoQuorum() public {
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotMet.selector, 1, 0));
        verify(1, new bytes(32));
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.EvidenceTooShort.selector, 32, 31));
        verify(1, new bytes(31));
    }

    /// @dev No seat has the zero address as its signer. If one had, what recovers to nobody would still not be its
    ///      signature.
    function test_NobodyIsNoSigner() public {
        (address[] memory seated, address[] memory nobody) = operators.activeSigners(1);
        nobody[0] = address(0);
        bytes memory call = abi.encodeCall(operators.activeSigners, (1));
        vm.mockCall(address(operators), call, abi.encode(seated, nobody));
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.WrongSigner.selector, address(0), address(0)));
        verify(1, bytes.concat(bytes32(uint256(1)), new bytes(65)));
        vm.clearMockedCalls();
    }

    function test_APolicyWithoutAQuorumIsNotForThisVerifier() public {
        bytes memory data = signedBy(3);
        vm.expectPartialRevert(QuorumVerifier.NoQuorumDemanded.selector);
        verify(0, data);
    }

    function test_EveryTruncationAndExtensionIsRefused() public view {
        bytes memory data = signedBy(7);
        for (uint256 size; size < data.length; ++size) {
            bytes memory cut = bytes.concat(data);
            assembly {
                mstore(cut, size)
            }
            requireRefused(3, cut);
        }
        requireRefused(3, bytes.concat(data, hex"00"));
        requireRefused(3, bytes.concat(data, signature(0)));
        verify(3, data);
    }

    function test_SwappedSignaturesAreRefused() public view {
        bytes32 bitmap = bytes32(uint256(1) | 1 << 10);
        requireRefused(2, bytes.concat(bitmap, signature(1), signature(0)));
    }

    function test_OneSignerTwiceIsOneSigner() public view {
        bytes32 bitmap = bytes32(uint256(1) | 1 << 10);
        requireRefused(2, bytes.concat(bitmap, signature(0), signature(0)));
    }

    function test_TheHighSTwinIsRefused() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(0), DIGEST);
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        vm.assertEq(ecrecover(DIGEST, v == 27 ? 28 : 27, r, bytes32(CURVE_ORDER - uint256(s))), vm.addr(keyOf(0)));
        requireRefused(1, bytes.concat(bytes32(uint256(1)), twin));
    }

    function test_OnlyV27And28AreTaken() public view {
        (uint8 good, bytes32 r, bytes32 s) = vm.sign(keyOf(0), DIGEST);
        for (uint256 v; v < 256; ++v) {
            if (v == good) continue;
            requireRefused(1, abi.encodePacked(uint256(1), r, s, uint8(v)));
        }
        verify(1, abi.encodePacked(uint256(1), r, s, good));
    }

    function test_ZeroSignaturesNameNobody() public view {
        requireRefused(1, bytes.concat(bytes32(uint256(1)), new bytes(65)));
        // A vacant seat has the zero signer, which is what a failed recovery gives.
        requireRefused(1, bytes.concat(bytes32(uint256(1) << 255), new bytes(65)));
    }

    function test_AVacantSeatDoesNotCount() public {
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, uint8(255)));
        verify(1, bytes.concat(bytes32(uint256(1) << 255), signature(0)));
    }

    function test_ALeavingOperatorDoesNotCount() public {
        bytes memory data = signedBy(3);
        verify(2, data);
        vm.prank(operatorAt(1));
        operators.beginExit();
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, seatIndexOf(1)));
        verify(2, data);
    }

    function test_ASlashedOperatorDoesNotCount() public {
        bytes memory data = signedBy(3);
        vm.prank(OWNER);
        operators.setSlasher(address(this));
        operators.slash(operatorAt(0), 1, address(this));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, seatIndexOf(0)));
        verify(2, data);
    }

    function test_AnOldKeyDoesNotCount() public {
        bytes memory data = signedBy(3);
        uint256 newKey = keyOf(99);
        bytes memory possession = signDigest(newKey, operators.computePossessionDigest(operatorAt(0), vm.addr(newKey)));
        vm.prank(operatorAt(0));
        operators.rotateSigner(vm.addr(newKey), possession);
        vm.expectRevert(
            abi.encodeWithSelector(QuorumVerifier.WrongSigner.selector, vm.addr(newKey), vm.addr(keyOf(0)))
        );
        verify(2, data);
    }

    function testFuzz_RandomBytesAreRefusedWithAReason(bytes calldata data) public view {
        requireRefused(1, data);
    }

    function signature(uint256 i) private pure returns (bytes memory) {
        return signDigest(keyOf(i), DIGEST);
    }

    /// @dev Evidence of the operators whose bit is set in `members`.
    function signedBy(uint8 members) private pure returns (bytes memory data) {
        uint256 bitmap;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((members >> i) & 1 == 0) continue;
            bitmap |= 1 << seatIndexOf(i);
            data = bytes.concat(data, signature(i));
        }
        data = bytes.concat(bytes32(bitmap), data);
    }

    function verify(uint8 k, bytes memory data) private view returns (address[] memory) {
        return quorum.verify(Claim(0, 0, 0, 0), DIGEST, quorumPolicy(k, 0), "", "", data);
    }

    function requireRefused(uint8 k, bytes memory data) private view {
        try quorum.verify(Claim(0, 0, 0, 0), DIGEST, quorumPolicy(k, 0), "", "", data) returns (address[] memory) {
            vm.assertTrue(false, "accepted a lie");
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
        }
    }
}
