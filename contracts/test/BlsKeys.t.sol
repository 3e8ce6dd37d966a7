// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBlsKeys} from "../src/interfaces/IBlsKeys.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Precompiles} from "../src/libraries/proof/Precompiles.sol";
import {BlsDeployment} from "./BlsDeployment.sol";
import {vm} from "./Vm.sol";

/// @title Whose key it is, and that nobody has another's
contract BlsKeysTest is BlsDeployment {
    bytes32 private constant DIGEST = keccak256("a claim");

    function test_KeysAreKeptBySeat() public view {
        for (uint256 i; i < OPERATORS; ++i) {
            (address operator, bytes memory key) = blsKeys.keyAt(seatIndexOf(i));
            vm.assertEq(operator, operatorAt(i));
            vm.assertEq(key, publicKey(secretOf(i)));
            vm.assertEq(blsKeys.operatorOf(keccak256(key)), operatorAt(i));
        }
        (address nobody, bytes memory nothing) = blsKeys.keyAt(255);
        vm.assertEq(nobody, address(0));
        vm.assertEq(nothing.length, 0);
    }

    function testFuzz_SumsAreThoseOfTheSet(uint8 members) public view {
        uint256 bitmap;
        uint256 secret;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((members >> i) & 1 == 0) continue;
            bitmap |= 1 << seatIndexOf(i);
            secret = addModOrder(secret, secretOf(i));
        }
        (address[] memory found, bytes memory sum) = blsKeys.sumOfActive(bitmap);
        vm.assertEq(sum, members == 0 ? new bytes(256) : publicKey(secret));
        uint256 next;
        for (uint256 i; i < OPERATORS; ++i) {
            if ((members >> i) & 1 == 1) vm.assertEq(found[next++], operatorAt(i));
        }
        vm.assertEq(found.length, next);
    }

    /// @dev Seat 0 and its neighbours share a page: writing one leaves the others as they are.
    function test_NeighboursShareAPage() public {
        for (uint256 i = 8; i < 11; ++i) {
            seatAt(i, uint8(i - 7)); // seats 1, 2, 3
        }
        registerBlsAs(operatorAt(10), 3, secretOf(10));
        registerBlsAs(operatorAt(8), 1, secretOf(8));
        registerBlsAs(operatorAt(9), 2, secretOf(9));
        registerBlsAs(operatorAt(8), 1, secretOf(88));
        uint256 secret = addModOrder(addModOrder(secretOf(0), secretOf(88)), addModOrder(secretOf(9), secretOf(10)));
        (, bytes memory sum) = blsKeys.sumOfActive(15);
        vm.assertEq(sum, publicKey(secret));
    }

    /// @dev A page is written anew for every key on it. Whatever gas that is given: the new page is there, or the old
    ///      one still is, with the neighbours' keys.
    function test_TooLittleGasLosesNoKey() public {
        seatAt(8, 15); // on the page of seat 0, and the longest that it gets
        bytes memory key = publicKey(secretOf(8));
        bytes memory possession = provePossession(operatorAt(8), secretOf(8));
        uint256 refusals;
        for (uint256 gasLimit = 300_000; gasLimit < 1_500_000; gasLimit += 10_000) {
            vm.prank(operatorAt(8));
            try blsKeys.register{gas: gasLimit}(15, key, possession) {
                break;
            } catch {
                ++refusals;
            }
            (address neighbour,) = blsKeys.keyAt(0);
            vm.assertEq(neighbour, operatorAt(0));
        }
        vm.assertTrue(refusals != 0, "never too little");
        (, bytes memory sum) = blsKeys.sumOfActive(1 << 15 | 1);
        vm.assertEq(sum, publicKey(addModOrder(secretOf(0), secretOf(8))));
    }

    function test_AKeyIsTold() public {
        bytes memory key = publicKey(secretOf(50));
        bytes memory possession = provePossession(operatorAt(0), secretOf(50));
        vm.expectEmit(address(blsKeys));
        emit IBlsKeys.BlsKeySet(operatorAt(0), seatIndexOf(0), keccak256(key), key);
        vm.prank(operatorAt(0));
        blsKeys.register(seatIndexOf(0), key, possession);
    }

    // ---- who may ----------------------------------------------------------------------------------------------

    function test_ASeatOfAnotherIsNotYours() public {
        bytes memory key = publicKey(secretOf(50));
        bytes memory possession = provePossession(operatorAt(0), secretOf(50));
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.NotYourSeat.selector, seatIndexOf(1), operatorAt(1)));
        blsKeys.register(seatIndexOf(1), key, possession);
    }

    function test_OnlyAnActiveSeatTakesAKey() public {
        bytes memory key = publicKey(secretOf(50));
        bytes memory possession = provePossession(operatorAt(0), secretOf(50));
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, seatIndexOf(0)));
        blsKeys.register(seatIndexOf(0), key, possession);
    }

    /// @dev The attack that proofs of possession are for: K' = K_mine − K_victim, so that their sum is mine alone.
    function test_ARogueKeyCannotBeRegistered() public {
        uint256 mine = secretOf(50);
        bytes memory rogue = minus(publicKey(mine), publicKey(secretOf(0)));
        // What it would be good for: the attacker alone signs for the victim and itself.
        bytes memory forged = signBls(mine, Bls.CLAIMS, DIGEST);
        vm.assertTrue(this.isSigned(DIGEST, forged, addKeys(rogue, publicKey(secretOf(0)))), "the attack as such");
        // The best the attacker can do is to sign with what it has.
        bytes32 digest = blsKeys.computePossessionDigest(operatorAt(1), keccak256(rogue));
        bytes memory possession = signBls(mine, Bls.POSSESSIONS, digest);
        vm.prank(operatorAt(1));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.BadBlsPossession.selector, keccak256(rogue)));
        blsKeys.register(seatIndexOf(1), rogue, possession);
    }

    function test_APossessionIsForOneOperatorAlone() public {
        bytes memory key = publicKey(secretOf(50));
        bytes memory possession = provePossession(operatorAt(0), secretOf(50));
        vm.prank(operatorAt(1));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.BadBlsPossession.selector, keccak256(key)));
        blsKeys.register(seatIndexOf(1), key, possession);
    }

    function test_ASignatureOfAClaimIsNoPossession() public {
        bytes memory key = publicKey(secretOf(50));
        bytes32 digest = blsKeys.computePossessionDigest(operatorAt(0), keccak256(key));
        bytes memory signature = signBls(secretOf(50), Bls.CLAIMS, digest);
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.BadBlsPossession.selector, keccak256(key)));
        blsKeys.register(seatIndexOf(0), key, signature);
    }

    /// @dev Also by who knows the secret: one key must not count twice.
    function test_AKeyIsNobodyElsesForEver() public {
        bytes memory key = publicKey(secretOf(0));
        registerBlsAs(operatorAt(0), seatIndexOf(0), secretOf(50));
        bytes memory possession = provePossession(operatorAt(1), secretOf(0));
        vm.prank(operatorAt(1));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.KeyUsed.selector, keccak256(key), operatorAt(0)));
        blsKeys.register(seatIndexOf(1), key, possession);
        registerBlsAs(operatorAt(0), seatIndexOf(0), secretOf(0)); // its own it may take again
    }

    // ---- what is a key ----------------------------------------------------------------------------------------

    function test_InfinityIsNoKey() public {
        vm.prank(operatorAt(0));
        vm.expectRevert(IBlsKeys.InfiniteKey.selector);
        blsKeys.register(seatIndexOf(0), new bytes(256), new bytes(96));
    }

    function test_APointOutsideTheGroupIsNoKey() public {
        bytes memory outside = vm.parseJsonBytes(vm.readFile("tests/vectors/bls.json"), ".keyOutsideTheGroup");
        bytes memory possession = signBls(secretOf(0), Bls.POSSESSIONS, DIGEST);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(Precompiles.PrecompileFailed.selector);
        blsKeys.register(seatIndexOf(0), outside, possession);
    }

    function test_OnlyTheExactLengthIsAKey() public {
        bytes memory key = publicKey(secretOf(50));
        bytes memory possession = provePossession(operatorAt(0), secretOf(50));
        vm.prank(operatorAt(0));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.KeyLength.selector, 256, 257));
        blsKeys.register(seatIndexOf(0), bytes.concat(key, hex"00"), possession);
    }

    function test_NoBitOfAKeyOrPossessionCanBeFlipped() public {
        bytes memory key = publicKey(secretOf(50));
        bytes memory possession = provePossession(operatorAt(0), secretOf(50));
        for (uint256 i; i < 8 * key.length; i += 13) {
            requireNotRegistered(flipped(key, i), possession);
        }
        for (uint256 i; i < 8 * possession.length; i += 13) {
            requireNotRegistered(key, flipped(possession, i));
        }
        vm.prank(operatorAt(0));
        blsKeys.register(seatIndexOf(0), key, possession);
    }

    // ---- who sits there now -----------------------------------------------------------------------------------

    function test_AnInactiveOperatorDoesNotCount() public {
        vm.prank(operatorAt(1));
        operators.beginExit();
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, seatIndexOf(1)));
        blsKeys.sumOfActive(1 | 1 << seatIndexOf(1));
    }

    function test_AVacantSeatDoesNotCount() public {
        vm.expectRevert(abi.encodeWithSelector(IOperatorRegistry.OperatorInactive.selector, uint8(255)));
        blsKeys.sumOfActive(1 << 255);
    }

    /// @dev On a page of its own, on a page's end, and beyond it.
    function test_AnOperatorWithoutAKeyDoesNotCount() public {
        uint8[3] memory seats = [uint8(1), 15, 250];
        for (uint256 i; i < seats.length; ++i) {
            seatAt(20 + i, seats[i]);
            vm.expectRevert(abi.encodeWithSelector(IBlsKeys.NoBlsKey.selector, seats[i]));
            blsKeys.sumOfActive(1 | 1 << seats[i]);
        }
    }

    function test_WhoTakesASeatOverHasNoKeyThere() public {
        vm.prank(operatorAt(1));
        operators.beginExit();
        vm.warp(block.timestamp + UNBONDING_SECONDS);
        vm.prank(operatorAt(1));
        operators.withdrawStake(payable(operatorAt(1)));
        seatAt(30, seatIndexOf(1));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.NoBlsKey.selector, seatIndexOf(1)));
        blsKeys.sumOfActive(1 << seatIndexOf(1));
        registerBlsAs(operatorAt(30), seatIndexOf(1), secretOf(30));
        (, bytes memory sum) = blsKeys.sumOfActive(1 << seatIndexOf(1));
        vm.assertEq(sum, publicKey(secretOf(30)));
    }

    // ---- accounting for what was signed -----------------------------------------------------------------------

    function test_WhoSignedIsTold() public view {
        address[] memory found = blsKeys.signersOf(DIGEST, keysOf(1, 2), signBls(sumOf(1, 2), Bls.CLAIMS, DIGEST));
        vm.assertEq(found.length, 2);
        vm.assertEq(found[0], operatorAt(1));
        vm.assertEq(found[1], operatorAt(2));
    }

    function test_AReplacedKeyStillAccounts() public {
        bytes memory signature = signBls(sumOf(1, 2), Bls.CLAIMS, DIGEST);
        registerBlsAs(operatorAt(1), seatIndexOf(1), secretOf(51));
        vm.prank(operatorAt(2));
        operators.beginExit();
        vm.assertEq(blsKeys.signersOf(DIGEST, keysOf(1, 2), signature).length, 2);
    }

    function test_NobodyIsNamedWhoDidNotSign() public {
        bytes memory signature = signBls(secretOf(1), Bls.CLAIMS, DIGEST);
        bytes[] memory both = keysOf(1, 2);
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.NotSigned.selector, DIGEST));
        blsKeys.signersOf(DIGEST, both, signature);
        vm.expectRevert(IBlsKeys.NoKeys.selector);
        blsKeys.signersOf(DIGEST, new bytes[](0), signature);
        bytes[] memory unknown = new bytes[](1);
        unknown[0] = publicKey(secretOf(50));
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.UnknownBlsKey.selector, keccak256(unknown[0])));
        blsKeys.signersOf(DIGEST, unknown, signature);
    }

    function test_APossessionAccountsForNothing() public {
        bytes32 digest = blsKeys.computePossessionDigest(operatorAt(1), keccak256(publicKey(secretOf(1))));
        bytes memory possession = provePossession(operatorAt(1), secretOf(1));
        bytes[] memory key = keysOf(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IBlsKeys.NotSigned.selector, digest));
        blsKeys.signersOf(digest, key, possession);
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function isSigned(bytes32 digest, bytes calldata signature, bytes calldata key) external view returns (bool) {
        return Bls.isSigned(Bls.CLAIMS, digest, signature, key);
    }

    function requireNotRegistered(bytes memory key, bytes memory possession) private {
        vm.prank(operatorAt(0));
        try blsKeys.register{gas: 2_000_000}(seatIndexOf(0), key, possession) {
            vm.assertTrue(false, "registered with a flipped bit");
        } catch (bytes memory reason) {
            vm.assertTrue(reason.length >= 4, "refused without a reason");
        }
    }

    function seatAt(uint256 i, uint8 index) private {
        address operator = operatorAt(i);
        bytes memory possession = signDigest(keyOf(i), operators.computePossessionDigest(operator, vm.addr(keyOf(i))));
        vm.deal(operator, MIN_STAKE_WEI);
        vm.prank(operator);
        operators.register{value: MIN_STAKE_WEI}(index, vm.addr(keyOf(i)), possession);
    }

    function sumOf(uint256 first, uint256 last) private pure returns (uint256 secret) {
        for (uint256 i = first; i <= last; ++i) {
            secret = addModOrder(secret, secretOf(i));
        }
    }

    function keysOf(uint256 first, uint256 last) private view returns (bytes[] memory keys) {
        keys = new bytes[](last - first + 1);
        for (uint256 i; i < keys.length; ++i) {
            keys[i] = publicKey(secretOf(first + i));
        }
    }

    function addKeys(bytes memory a, bytes memory b) private view returns (bytes memory) {
        return callPrecompile(0x0d, bytes.concat(a, b));
    }

    function minus(bytes memory a, bytes memory b) private view returns (bytes memory) {
        return addKeys(a, callPrecompile(0x0e, bytes.concat(b, bytes32(GROUP_ORDER - 1))));
    }

    function flipped(bytes memory data, uint256 bit) private pure returns (bytes memory result) {
        result = bytes.concat(data);
        result[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
    }
}
